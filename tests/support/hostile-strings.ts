import { createRequire } from 'node:module'

/** The well-known list, as its package holds it. */
export const NAUGHTY: readonly string[] = createRequire(import.meta.url)(
  'big-list-of-naughty-strings',
) as string[]

/** What that list lacks: what goes wrong in encodings, drivers, collations, JSON and objects. */
export const OURS: readonly string[] = [
  // ends of text, and text that is not all text
  '\u0000',
  'a\u0000b',
  'ends\u0000',
  '\u0001\u001f\u007f\u0080\u009f',
  '\ud800',
  '\udfff',
  'half \ud83d of a pair',
  '\udc00\ud800',
  '\ufeffmarked',
  '\ufffe\uffff',
  '\ufffd',
  '\u{10ffff}',
  // the same to some collation or normal form
  'seat',
  'seat ',
  'seat  ',
  'SEAT',
  's\u0435at',
  'sea\u0301t',
  'se\u00e1t',
  '\u017feat',
  'stra\u00dfe',
  'strasse',
  // lengths around the limits: 64, 100, 190, 255, and what no column holds
  'k'.repeat(65),
  'c'.repeat(101),
  'n'.repeat(190),
  'n'.repeat(191),
  '\u{1f512}'.repeat(95),
  '\u{1f512}'.repeat(96),
  'i'.repeat(255),
  'i'.repeat(256),
  '\u0301'.repeat(5_000),
  'x'.repeat(70_000),
  // SQL
  "' or '1'='1' -- ",
  "'; drop table licenses; -- ",
  "\\'; delete from activations; #",
  '" union select license_key from licenses -- ',
  "1') or sleep(0)=0 -- ",
  '`id`',
  '?',
  '??',
  ':license_key',
  '%_%',
  '\u00bf\u0027 or 1=1',
  // JSON
  '{"$date":"2020-01-01T00:00:00.000Z"}',
  '","valid":true,"x":"',
  '\\u0000',
  '[[[[',
  // names that objects have already
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '__defineGetter__',
  // direction
  '\u202egnp.exe',
  '\u2066\u2067\u2068\u2069',
  // numbers
  '9'.repeat(400),
  '1e400',
  '-0',
  '18446744073709551616',
  // lines and paths
  'a\r\nSet-Cookie: a=b',
  '..',
  '../../etc/passwd',
  '%2e%2e%2f',
  '%',
  '%00',
  '%c0%ae',
  '{{7*7}}<%= 7*7 %>#{7*7}',
]

export const HOSTILE: readonly string[] = [...NAUGHTY, ...OURS]

/** What an answer must not tell: statements, the driver's words, stacks, places in the file system. */
const LEAKS: readonly RegExp[] = [
  /\b(?:select|insert into|update|delete from|alter table|create table|drop table)\b[^.]*\b(?:from|set|values|where|into|licenses|activations|usage_\w+|idempotency_keys|tenants|api_keys)\b/i,
  /\bER_[A-Z_]{3,}|\bE(?:CONN|PIPE|NOENT)[A-Z]*|\b(?:errno|sqlState|sqlMessage)\b/,
  /\b(?:mysql|mariadb|knex|innodb)\b/i,
  /\bvx[pt]_x\w+/,
  /(?:^|\\n|\n)\s*at .+[:(]/,
  /node_modules|node:internal|file:\/\/|\/work\/|\/home\/|\/tmp\/|\/src\/|\.[cm]?[jt]s:\d+/,
  /\b(?:TypeError|RangeError|SyntaxError|ReferenceError)\b/,
]

/** An answer without a caller's text, be it trimmed. */
function withoutText(answer: string, text: string): string {
  let rest = answer
  for (const form of [text, text.trim()].filter((each) => each !== ''))
    rest = rest.replaceAll(JSON.stringify(form).slice(1, -1), '').replaceAll(form, '')
  return rest
}

/** What an answer gives away, apart from the caller's own text said back. */
export function leaksOf(answer: string, sent: string): string[] {
  const rest = withoutText(answer, sent)
  return LEAKS.flatMap((form) => form.exec(rest)?.[0] ?? [])
}

/** Text in a path: what UTF-8 cannot say goes as the bytes that a careless client would send. */
export const inPath = (text: string): string =>
  text
    .replaceAll(/[\ud800-\udfff]/gu, '%ED%A0%80')
    .replaceAll(/[^%]+|%(?!ED%A0%80)/gu, (part) => encodeURIComponent(part))

/** Text in a header, as the bytes of its UTF-8; undefined where no header can hold it. */
export function inHeader(text: string): string | undefined {
  const bytes = Buffer.from(text).toString('latin1')
  return /[\0\r\n]/.test(bytes) ? undefined : bytes
}

/** What came of a hostile string in one input. */
export type Attacked = {
  readonly input: string
  readonly sent: string
  readonly status: number
  readonly answered: string
  /** What was sent earlier, and may be shown too. */
  readonly before?: readonly string[]
}

/** One text may be a part of another. */
const longestFirst = (texts: readonly string[]): readonly string[] =>
  texts.toSorted((one, other) => other.length - one.length)

/** What is wrong with answers, whatever was sent: a few of them, in a form that a reader can act on. */
export function faultsOf(answers: readonly Attacked[], expected: ReadonlySet<number>): string[] {
  const faults = answers.flatMap(({ input, sent, status, answered, before = [] }) => {
    const isEnvelope =
      /^\{"(?:data|error)":.*,"meta":\{"request_id":"[^"]+","api_version":"1"\}\}$/s
    const wrong = [
      ...(expected.has(status) ? [] : [`status ${status}`]),
      ...(isEnvelope.test(answered) ? [] : ['no envelope']),
      ...leaksOf(longestFirst([sent, ...before]).reduce(withoutText, answered), '').map(
        (leak) => `tells ${leak}`,
      ),
    ]
    return wrong.map((fault) => `${input} = ${JSON.stringify(sent).slice(0, 60)}: ${fault}`)
  })
  return faults.length <= 40 ? faults : [...faults.slice(0, 40), `and ${faults.length - 40} more`]
}
