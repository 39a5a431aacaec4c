import { CROCKFORD32, randomText } from '../crypto/random-text.js'

export const LICENSE_TYPES = ['perpetual', 'subscription', 'trial'] as const
export type LicenseType = (typeof LICENSE_TYPES)[number]

/** What is stored. Whether a license has expired follows from the clock and is stored nowhere. */
export const LICENSE_STATUSES = ['active', 'suspended', 'revoked'] as const
export type LicenseStatus = (typeof LICENSE_STATUSES)[number]

export type LicenseEntitlements = Readonly<Record<string, boolean | number | string>>

export type License = {
  readonly id: string
  readonly productId: string
  readonly key: string
  readonly type: LicenseType
  readonly status: LicenseStatus
  readonly startsAt: Date | undefined
  readonly expiresAt: Date | undefined
  readonly graceDays: number
  readonly entitlements: LicenseEntitlements
  readonly customerName: string | undefined
  readonly customerEmail: string | undefined
  readonly createdAt: Date
}

/** What a license grants under a code; undefined where nothing, also for "constructor" and its like. */
export const entitlementOf = (
  { entitlements }: Pick<License, 'entitlements'>,
  code: string,
): boolean | number | string | undefined =>
  Object.hasOwn(entitlements, code) ? entitlements[code] : undefined

const KEY_FORM = /^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/
const DAY_MS = 86_400_000

/** `XXXX-XXXX-XXXX-XXXX` in Crockford's base 32: 80 random bits. */
export const mintLicenseKey = (): string =>
  Array.from({ length: 4 }, () => randomText(CROCKFORD32, 4)).join('-')

/**
 * Reads a license key as people type and paste it: in either case, between blanks or quotes, with or without its
 * hyphens, with full-width or invisible characters. Returns the form that is stored, or undefined if the text is no license key.
 */
export function readLicenseKey(text: string): string | undefined {
  if (KEY_FORM.test(text)) return text
  const letters = text.normalize('NFKC').replaceAll(/[\s\p{Pd}\p{Cf}\p{Pi}\p{Pf}\u2212_"'`]/gu, '')
  // checked before it is changed: capitals of other letters may be ASCII
  if (!/^[0-9A-Za-z]{16}$/.test(letters)) return undefined
  return letters.toUpperCase().replaceAll(/(.{4})(?=.)/g, '$1-')
}

/** Why a license is valid or not. */
export type ValidationCode =
  | 'VALID'
  | 'GRACE_PERIOD'
  | 'NOT_YET_VALID'
  | 'EXPIRED'
  | 'SUSPENDED'
  | 'REVOKED'

/** The stored status, or `expired` where the clock says so. */
export type EffectiveStatus = LicenseStatus | 'expired'

export type Verdict = {
  readonly valid: boolean
  readonly code: ValidationCode
  readonly status: EffectiveStatus
}

type Judged = Pick<License, 'status' | 'startsAt' | 'expiresAt' | 'graceDays'>

/**
 * Judges a license at an instant. The order of the questions is a promise: what an administrator
 * decided comes before what the calendar says, so a revoked and expired license is revoked.
 * A license is valid up to, and not at, the instant of its expiry.
 */
export function judge(license: Judged, now: Date): Verdict {
  const { status, startsAt, expiresAt, graceDays } = license
  if (status === 'revoked') return { valid: false, code: 'REVOKED', status }
  if (status === 'suspended') return { valid: false, code: 'SUSPENDED', status }
  if (startsAt && now < startsAt) return { valid: false, code: 'NOT_YET_VALID', status }
  if (!expiresAt || now < expiresAt) return { valid: true, code: 'VALID', status }
  if (now.getTime() < expiresAt.getTime() + graceDays * DAY_MS) {
    return { valid: true, code: 'GRACE_PERIOD', status }
  }
  return { valid: false, code: 'EXPIRED', status: 'expired' }
}

/** One question that was asked of a license, and what it was compared with. */
export type Check = {
  readonly check: 'status' | 'starts_at' | 'expires_at' | 'grace_period'
  readonly passed: boolean
  readonly value: string | number | null
  readonly compared_with: string | null
}

/** Every question of `judge`, each asked by itself, in its order: also those that the first refusal made needless. */
export function explain({ status, startsAt, expiresAt, graceDays }: Judged, now: Date): Check[] {
  const time = now.toISOString()
  const isBeforeExpiry = !expiresAt || now < expiresAt
  const graceEndsAt = expiresAt && new Date(expiresAt.getTime() + graceDays * DAY_MS)
  return [
    { check: 'status', passed: status === 'active', value: status, compared_with: 'active' },
    {
      check: 'starts_at',
      passed: !startsAt || now >= startsAt,
      value: startsAt?.toISOString() ?? null,
      compared_with: time,
    },
    {
      check: 'expires_at',
      passed: isBeforeExpiry,
      value: expiresAt?.toISOString() ?? null,
      compared_with: time,
    },
    {
      check: 'grace_period',
      passed: isBeforeExpiry || (graceEndsAt !== undefined && now < graceEndsAt),
      value: graceDays,
      compared_with: graceEndsAt?.toISOString() ?? null,
    },
  ]
}
