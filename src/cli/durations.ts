import { AppError } from '../core/errors.js'
import { EARLIEST, instantSchema } from '../core/parse.js'

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const

/** `90s`, `15m`, `24h`, `7d` or `0` as seconds. @throws USAGE.INVALID naming the option */
export function readDuration(text: string, option: string): number {
  const form = /^(\d{1,9})([smhd])$/.exec(text)
  if (text === '0') return 0
  if (!form) {
    throw new AppError(
      'USAGE.INVALID',
      `${option} "${text}" is not a valid duration. Write it as 90s, 15m, 24h, 7d or 0.`,
    )
  }
  return Number(form[1]) * UNITS[form[2] as keyof typeof UNITS]
}

/** A whole number, of at least 1 by default. @throws USAGE.INVALID naming the option and the limits */
export function readCount(text: string, option: string, least = 1, most = 999_999_999): number {
  const count = Number(text)
  if (/^\d{1,15}$/.test(text) && count >= least && count <= most) return count
  throw new AppError(
    'USAGE.INVALID',
    `${option} "${text}" is not a whole number from ${least} to ${most}.`,
  )
}

/** A date or an RFC 3339 time. @throws VALIDATION.FAILED naming the option */
export function readTime(text: string, option: string): Date {
  const { data, error } = instantSchema.safeParse(text)
  if (data) return data
  const messages = error?.issues.map(({ message }) => message) ?? []
  throw new AppError('VALIDATION.FAILED').with({ [option]: messages })
}

/** An age such as `30d`, or a time, not before 1970. @throws VALIDATION.FAILED naming the option */
export function readPast(text: string, option: string, now: Date): Date {
  if (/^\d{1,9}[smhd]$/.test(text)) {
    const time = now.getTime() - readDuration(text, option) * 1000
    if (time >= EARLIEST.getTime()) return new Date(time)
    throw new AppError('VALIDATION.FAILED').with({ [option]: ['must not go back before 1970'] })
  }
  if (/^\d{4}-/.test(text)) return readTime(text, option)
  throw new AppError('VALIDATION.FAILED').with({
    [option]: [
      'must be an age such as 90m, 12h or 30d, a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z',
    ],
  })
}

/** One of a list. @throws USAGE.INVALID naming the option */
export function readChoice<Choice extends string>(
  text: string,
  choices: readonly Choice[],
  option: string,
): Choice {
  if ((choices as readonly string[]).includes(text)) return text as Choice
  throw new AppError('USAGE.INVALID', `${option} "${text}" is not one of ${choices.join(', ')}.`)
}
