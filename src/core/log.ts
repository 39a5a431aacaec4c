/** Severities in rising order; `silent` writes nothing. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export type LogFields = Readonly<Record<string, unknown>>
export type Log = Readonly<
  Record<Exclude<LogLevel, 'silent'>, (message: string, fields?: LogFields) => void>
>

/**
 * One JSON object a line. It is the only way to the log, and it never writes an error object as it
 * stands: those of knex and mysql2 hold statements and bound values, so passwords and keys.
 */
export function createLog(level: LogLevel, write: (line: string) => void): Log {
  const threshold = LOG_LEVELS.indexOf(level)
  const at =
    (severity: Exclude<LogLevel, 'silent'>) =>
    (message: string, fields: LogFields = {}) => {
      if (LOG_LEVELS.indexOf(severity) < threshold) return
      const time = new Date().toISOString()
      write(
        `${JSON.stringify({ time, level: severity, message: scrub(message), ...safeFields(fields) })}\n`,
      )
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export const silentLog: Log = createLog('silent', () => {})

const SECRETS: readonly [RegExp, string][] = [
  [/(mysql:\/\/[^:@/\s]*:)[^@/\s]*@/gi, '$1***@'],
  [/\bvx_[0-9A-Za-z]{20,}/g, 'vx_***'],
  [/(identified\s+by\s+)(['"]).*?\2/gis, '$1***'],
  [/\bwhsec_[0-9A-Za-z+/=_-]{8,}/g, 'whsec_***'],
]

/** Text without the secrets that we know the form of. */
export const scrub = (text: string): string =>
  SECRETS.reduce((safe, [form, mask]) => safe.replace(form, mask), text)

/** What may be told of an error: its kind and our own or the server's sentence, never a statement. */
export function describeError(thrown: unknown): LogFields {
  if (!(thrown instanceof Error)) return { error: scrub(String(thrown)) }
  const { name, code, errno, sqlMessage, sqlState } = thrown as Error & Record<string, unknown>
  const fromDriver = sqlState !== undefined || sqlMessage !== undefined
  return {
    error: name,
    ...(code === undefined ? {} : { code }),
    ...(errno === undefined ? {} : { errno }),
    // a driver's message may quote the statement: only the server's own sentence is kept, without its values
    message: fromDriver ? withoutQuotedValues(String(sqlMessage ?? '')) : scrub(thrown.message),
    ...(fromDriver ? {} : { stack: scrub(thrown.stack ?? '') }),
    ...(thrown.cause === undefined ? {} : { cause: describeError(thrown.cause) }),
  }
}

const withoutQuotedValues = (sentence: string): string =>
  scrub(sentence).replace(/(entry|value:?|near) '.*?'(?= |$)/gs, "$1 '…'")

const safeFields = (fields: LogFields): LogFields =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error
        ? describeError(value)
        : typeof value === 'string'
          ? scrub(value)
          : value,
    ]),
  )
