import { AppError } from '../core/errors.js'

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const

/** `90s`, `15m`, `24h`, `7d` or `0` as seconds. @throws USAGE.INVALID naming the option */
export function readDuration(text: string, option: string): number {
  const form = /^(\d{1,9})([smhd])$/.exec(text)
  if (text === '0') return 0
  if (!form) {
    throw new AppError(
      'USAGE.INVALID',
      `${option} "${text}" is no time. Write it as 90s, 15m, 24h, 7d or 0.`,
    )
  }
  return Number(form[1]) * UNITS[form[2] as keyof typeof UNITS]
}

/** A whole number, from 1 on where nothing else is said. @throws USAGE.INVALID naming the option */
export function readCount(text: string, option: string, least = 1, most = 999_999_999): number {
  const count = Number(text)
  if (/^\d{1,15}$/.test(text) && count >= least && count <= most) return count
  throw new AppError(
    'USAGE.INVALID',
    `${option} "${text}" is no count. Give a whole number from ${least} on.`,
  )
}
