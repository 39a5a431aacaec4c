import { printable } from './printable.js'
import { safeValue, scrub } from './scrub.js'

/** Severities in rising order; `silent` writes nothing. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export type LogFields = Readonly<Record<string, unknown>>
export type Log = Readonly<
  Record<Exclude<LogLevel, 'silent'>, (message: string, fields?: LogFields) => void>
>

/**
 * Writes one JSON object a line, scrubbed of secrets at any depth: error objects of knex and mysql2, for
 * one, hold statements and bound values, so passwords and keys. Nothing else writes to the log.
 */
export function createLog(level: LogLevel, write: (line: string) => void): Log {
  const threshold = LOG_LEVELS.indexOf(level)
  const at =
    (severity: Exclude<LogLevel, 'silent'>) =>
    (message: string, fields: LogFields = {}) => {
      if (LOG_LEVELS.indexOf(severity) < threshold) return
      const time = new Date().toISOString()
      const safe = safeValue(fields) as LogFields
      const line = JSON.stringify({ time, level: severity, message: scrub(message), ...safe })
      write(`${printable(line)}\n`)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export const silentLog: Log = createLog('silent', () => {})
