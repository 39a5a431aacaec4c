import { expect, test } from 'vitest'
import {
  isWellFormedLicenseKey,
  judge,
  mintLicenseKey,
} from '../../../src/core/licensing/license.js'

const now = new Date('2027-01-01T00:00:00Z')
const at = (offsetMs: number) => new Date(now.getTime() + offsetMs)
const base = { status: 'active', startsAt: undefined, expiresAt: undefined, graceDays: 0 } as const

test.for([
  ['no dates', base, 'VALID'],
  ['started this instant', { ...base, startsAt: now }, 'VALID'],
  ['starts in a millisecond', { ...base, startsAt: at(1) }, 'NOT_YET_VALID'],
  ['expires in a millisecond', { ...base, expiresAt: at(1) }, 'VALID'],
  ['expires this instant', { ...base, expiresAt: now }, 'EXPIRED'],
  ['expired, in its grace period', { ...base, expiresAt: now, graceDays: 1 }, 'GRACE_PERIOD'],
  [
    'expired, its grace period over',
    { ...base, expiresAt: at(-86_400_000), graceDays: 1 },
    'EXPIRED',
  ],
  ['suspended and expired', { ...base, status: 'suspended', expiresAt: at(-1) }, 'SUSPENDED'],
  ['revoked and expired', { ...base, status: 'revoked', expiresAt: at(-1) }, 'REVOKED'],
] as const)('%s: %s', ([, license, code]) => {
  expect(judge(license, now).code).toBe(code)
})

test('license keys have the published form', () => {
  const keys = Array.from({ length: 1000 }, mintLicenseKey)
  expect(new Set(keys).size).toBe(1000)
  for (const key of keys) expect(isWellFormedLicenseKey(key)).toBe(true)
  for (const text of [
    '',
    'AAAA-BBBB-CCCC',
    'aaaa-bbbb-cccc-dddd',
    'AAAA-BBBB-CCCC-DDDD ',
    'AAAA-BBBB-CCCC-DDD\u0130',
  ]) {
    expect(isWellFormedLicenseKey(text)).toBe(false)
  }
})
