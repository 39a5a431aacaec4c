import { judge, type License } from '../../../core/licensing/license.js'

export const expiryText = ({ expiresAt }: License): string =>
  expiresAt?.toISOString().slice(0, 10) ?? 'never'

/** A license as label and value. */
export const licenseFields = (
  license: License,
  product: string,
  now: Date,
): [string, string | undefined][] => [
  ['key', license.key],
  ['product', product],
  ['type', license.type],
  ['status', judge(license, now).status],
  ['starts', license.startsAt?.toISOString()],
  ['expires', license.expiresAt?.toISOString() ?? 'never'],
  ['grace', license.graceDays === 0 ? undefined : `${license.graceDays} days`],
  [
    'entitlements',
    Object.entries(license.entitlements)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([code, value]) => `${code}=${String(value)}`)
      .join(', '),
  ],
  ['customer', [license.customerName, license.customerEmail].filter(Boolean).join(' ')],
  ['id', license.id],
]
