import { type DriverFailure, ownFailureOf } from './driver-failure.js'

/** How deep a logged value is followed, and how many entries of one object or list are kept. */
const DEEPEST = 8
const WIDEST = 100
const LONGEST_TEXT = 10_000

const MASK = '***'

/** How the names of secrets end, for JavaScript's, HTTP's and SQL's ways to write a name. */
const SECRET_WORD =
  '(?:passw(?:or)?d|pwd|passphrase|credential|secret|token|authorization|(?:api|app|private|secret|signing|encryption)[_-]?key)s?(?:[_-]?(?:keys?|confirmation))?'

/** What secrets look like inside text. What precedes the secret is kept. */
const SECRETS: readonly [RegExp, string][] = [
  // the password of a URL of any scheme; it may hold an unescaped "@" or "/"
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/[^\s:@/?#]*:)(?:[^\s"'<>]*|[^\s/]*)@/gi, `$1${MASK}@`],
  [new RegExp(`((?:${SECRET_WORD}|signature)=["']?)[^&\\s"']+`, 'gi'), `$1${MASK}`],
  // in JSON, and as Node prints an object
  [
    new RegExp(`(${SECRET_WORD}"\\s*:\\s*)(?:"(?:\\\\.|[^"\\\\])*"?|\\[[^\\]]*\\]?)`, 'gi'),
    `$1"${MASK}"`,
  ],
  [new RegExp(`(${SECRET_WORD}'?: ')(?:\\\\.|[^'\\\\])*`, 'gi'), `$1${MASK}`],
  // headers
  [
    /\b((?:x-[\w-]{0,40}(?:key|token|secret|signature|password)|api-?key)\s*:\s*)[^\s"']+/gi,
    `$1${MASK}`,
  ],
  [/\b((?:proxy-)?authorization\s*:\s*(?:[\w-]+ +)?)[^\s"']+/gi, `$1${MASK}`],
  [/\b((?:set-)?cookie\s*:\s*)[^\r\n"']+/gi, `$1${MASK}`],
  [/\bvx_[0-9A-Za-z]{20,}/g, `vx_${MASK}`],
  [/\bwhsec_[0-9A-Za-z+/=_-]{8,}/g, `whsec_${MASK}`],
  // tokens of users, as Laravel's Sanctum writes them
  [/\b\d+\|[0-9A-Za-z]{40,}/g, MASK],
  [/\b((?:bearer|basic)\s+)[\w.~+/=|-]{8,}/gi, `$1${MASK}`],
  [/(identified\s+(?:by|with|via)\b[^'"]*)(['"])(?:\\.|\2\2|(?!\2)[\s\S])*\2/gi, `$1${MASK}`],
  // password hashes of bcrypt and argon2
  [/\$(2[abxy]|argon2(?:id?|d))\$[\w./+=,$-]+/g, `$$$1$$${MASK}`],
  // derived database passwords, and 32 bytes in base64: application keys
  [/[\w-]{43}\.aA1/g, MASK],
  [/(?<![\w+/-])[\w+/-]{43}=(?![\w=])/g, MASK],
]

/** Names of fields whose text is a secret, whatever it looks like. */
const SECRET_NAMES = new RegExp(`^(?:pass|bindings|(?:set-)?cookies?|.*${SECRET_WORD})$`, 'i')

/** Returns the text without the secrets whose form we know. */
export const scrub = (text: string): string =>
  SECRETS.reduce((safe, [form, mask]) => safe.replace(form, mask), text.slice(0, LONGEST_TEXT))

/** What was passed on the way down, so that a cycle ends. */
type Above = readonly object[]

/**
 * Returns a copy that can be logged: JSON alone, bounded, without secrets at any depth. Bytes are
 * replaced by their number, and errors by what `describeError` says of them.
 */
export function safeValue(value: unknown, above: Above = []): unknown {
  if (typeof value === 'string') return scrub(value)
  if (typeof value === 'bigint') return String(value)
  // a `toJSON` of the original must not speak for the copy
  if (typeof value === 'function') return undefined
  if (typeof value !== 'object' || value === null) return value
  if (above.includes(value)) return '[circular]'
  if (above.length >= DEEPEST) return '[too deep]'
  try {
    return safeObject(value, [...above, value])
  } catch {
    // a getter or a proxy that throws must not keep the rest from the log
    return '[unreadable]'
  }
}

function safeObject(value: object, above: Above): unknown {
  if (value instanceof Error) return describe(value, above)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (value instanceof URL) return scrub(value.href)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    return `[${value.byteLength} bytes]`
  if (Array.isArray(value)) return safeList(value, above)
  if (value instanceof Set) return safeList([...value], above)
  if (value instanceof Map)
    return safeEntries(
      [...value].map(([name, own]) => [nameOf(name), own]),
      above,
    )
  return safeEntries(Object.entries(value), above)
}

/** A map's key as a field's name; a Buffer or an object as a key may itself be secret. */
const nameOf = (key: unknown): string =>
  typeof key === 'object' && key !== null ? '[object]' : String(key)

const safeList = (values: readonly unknown[], above: Above): unknown[] =>
  values.slice(0, WIDEST).map((own) => safeValue(own, above))

const safeEntries = (
  entries: readonly (readonly [string, unknown])[],
  above: Above,
): Record<string, unknown> =>
  Object.fromEntries(
    entries
      .slice(0, WIDEST)
      .map(([name, own]) => [scrub(name), isSecret(name, own) ? MASK : safeValue(own, above)]),
  )

/** A number or a flag called so tells how many there are or whether there is one. */
const isSecret = (name: string, value: unknown): boolean =>
  SECRET_NAMES.test(name) &&
  value !== null &&
  value !== '' &&
  (typeof value === 'string' || typeof value === 'object')

/** Returns an error's kind and our own or the server's sentence, never a statement or its values. */
export const describeError = (thrown: unknown): Readonly<Record<string, unknown>> =>
  thrown instanceof Error ? describe(thrown, [thrown]) : { error: safeValue(asText(thrown)) }

/** Something else than an error was thrown. */
const asText = (thrown: unknown): unknown =>
  typeof thrown === 'object' && thrown !== null ? thrown : String(thrown)

function describe(error: Error, above: Above): Readonly<Record<string, unknown>> {
  const { name, code, errno } = error as Error & Record<string, unknown>
  const failure = ownFailureOf(error)
  const { errors } = error as Partial<AggregateError>
  return {
    error: scrub(String(name)),
    ...(code === undefined ? {} : { code: safeValue(code, above) }),
    ...(errno === undefined ? {} : { errno: safeValue(errno, above) }),
    // message and stack of a driver's error may quote the statement: only the server's sentence is kept, without values
    message: failure ? sentenceOf(failure, error) : scrub(error.message),
    ...(failure ? {} : { stack: scrub(String(error.stack ?? '')) }),
    ...(error.cause === undefined ? {} : { cause: causeOf(error.cause, above) }),
    ...(Array.isArray(errors) ? { errors: safeList(errors, above) } : {}),
  }
}

const causeOf = (cause: unknown, above: Above): unknown =>
  cause instanceof Error ? safeValue(cause, above) : { error: safeValue(asText(cause), above) }

/** Errors without a server's sentence never reached the server, or lost it. */
const sentenceOf = ({ sentence, kind, where }: DriverFailure, error: Error): string =>
  withoutQuotedValues(sentence || kind) + ('address' in error ? ` (${where})` : '')

const withoutQuotedValues = (sentence: string): string =>
  scrub(sentence).replace(/(entry|value:?|near) '.*?'(?= |$)/gs, "$1 '…'")
