import { expect, test } from 'vitest'
import { judge, mintLicenseKey, readLicenseKey } from '../../../src/core/licensing/license.js'

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
  for (const key of keys) expect(readLicenseKey(key)).toBe(key)
})

test.for([
  'ABCD-EFGH-0123-4567',
  'abcd-efgh-0123-4567',
  ' Abcd-efgh-0123-4567\r\n',
  'ABCDEFGH01234567',
  'abcd efgh 0123 4567',
  'ABCD\u2013EFGH\u20130123\u20134567',
  '\u00a0ABCD-EFGH-0123-4567\ufeff',
  'AB-CD-EF-GH-01-23-45-67',
  'ABCD\u2212EFGH\u22120123\u22124567',
  'ABCD-EFGH\u200b-0123-\u00ad4567\u2060',
  '\uff21\uff22\uff23\uff24\uff0dEFGH-\uff10\uff11\uff12\uff13-4567',
  '"ABCD-EFGH-0123-4567"',
  '\u201cABCD-EFGH-0123-4567\u201d',
  "'ABCD-EFGH-0123-4567'",
  'ABCD_EFGH_0123_4567',
])('a license key is read as it is typed or pasted: %j', (text) => {
  expect(readLicenseKey(text)).toBe('ABCD-EFGH-0123-4567')
})

test.for([
  '',
  'AAAA-BBBB-CCCC',
  'AAAA-BBBB-CCCC-DDD',
  'AAAA-BBBB-CCCC-DDDDD',
  'AAAA-BBBB-CCCC-DDD\u0130',
  // capitals are ASCII, or two letters
  'AAAA-BBBB-CCCC-DDD\u0131',
  'AAAA-BBBB-CCCC-DD\u00df',
  'AAAA-BBBB-CCCC-DDD\u0410',
  'AAAA+BBBB+CCCC+DDDD',
  '%41AAA-BBBB-CCCC-DDDD',
])('other text is no license key: %j', (text) => {
  expect(readLicenseKey(text)).toBe(undefined)
})
