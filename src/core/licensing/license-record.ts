import { z } from 'zod'
import { metadataSchema } from '../metadata.js'
import { pageInput } from '../page.js'
import { instantSchema } from '../parse.js'
import { lineSchema, productCodeSchema } from '../products/product.js'
import { judge, LICENSE_STATUSES, LICENSE_TYPES, type License } from './license.js'

/** A license with all that its tenant keeps of it; validation reads less. */
export type LicenseRecord = License & {
  readonly metadata: Readonly<Record<string, unknown>>
  /** Seats that are taken. */
  readonly activations: number
  readonly lastUsedAt: Date | undefined
  readonly suspendedAt: Date | undefined
  readonly revokedAt: Date | undefined
  readonly revision: number
  readonly updatedAt: Date
}

const code = z
  .string()
  .regex(
    /^[a-z0-9]+([._-][a-z0-9]+)*$/,
    'must be lower-case letters and digits, in words joined by ".", "_" or "-"',
  )
  .max(100, 'must be at most 100 characters')

const value = z.union(
  [
    z.boolean(),
    z
      .number()
      .finite()
      .refine(
        (number) => !Number.isInteger(number) || Number.isSafeInteger(number),
        'must be a number that can be kept exactly',
      ),
    z
      .string()
      .max(255, 'must be at most 255 characters')
      .refine((text) => !/\p{Cs}/u.test(text), 'must be text'),
  ],
  'must be true, false, a number or text',
)

const MAX_ENTITLEMENTS = 100
const fewEnough = (entitlements: object) => Object.keys(entitlements).length <= MAX_ENTITLEMENTS

export const entitlementsSchema = z
  .record(code, value)
  .refine(fewEnough, `must be at most ${MAX_ENTITLEMENTS} entitlements`)

const graceDays = z
  .number('must be a whole number')
  .int('must be a whole number')
  .min(0, 'must be at least 0')
  .max(3650, 'must be at most 3650')

const email = z.email('must be an e-mail address').max(255, 'must be at most 255 characters')

const terms = {
  starts_at: instantSchema.describe('Not valid before; RFC 3339, or a date').optional(),
  expires_at: instantSchema.nullable().describe('Null never expires').optional(),
  grace_days: graceDays.describe('Days that it stays valid after it expires').optional(),
  customer_name: lineSchema(120).optional(),
  customer_email: email.optional(),
  metadata: metadataSchema.optional(),
}

const endsAfterStart = ({
  starts_at,
  expires_at,
}: {
  starts_at?: Date | null | undefined
  expires_at?: Date | null | undefined
}): boolean => !starts_at || !expires_at || starts_at < expires_at

const LATER = { path: ['expires_at'], message: 'must be later than the start' }

export const IssueLicenseInput = z
  .strictObject({
    product: productCodeSchema.describe('The code of the product that it is for'),
    type: z
      .enum(LICENSE_TYPES, `must be one of ${LICENSE_TYPES.join(', ')}`)
      .describe('The tenant’s default where absent')
      .optional(),
    ...terms,
    entitlements: entitlementsSchema.default({}),
  })
  .refine(endsAfterStart, LATER)

export const MAX_ISSUED_AT_ONCE = 1_000
const MAX_ISSUED_BYTES = 4_194_304

/** Many at once: all are issued, or none. */
export const IssueLicensesInput = z
  .strictObject({
    licenses: z
      .array(
        z
          .strictObject({
            ...IssueLicenseInput.shape,
            quantity: z
              .number('must be a whole number')
              .int('must be a whole number')
              .min(1, 'must be at least 1')
              .max(MAX_ISSUED_AT_ONCE, `must be at most ${MAX_ISSUED_AT_ONCE}`)
              .describe('So many alike')
              .default(1),
          })
          .refine(endsAfterStart, LATER),
        'must be a list',
      )
      .min(1, 'must name at least one license')
      .max(MAX_ISSUED_AT_ONCE, `must be at most ${MAX_ISSUED_AT_ONCE}`),
  })
  .refine(
    ({ licenses }) =>
      licenses.reduce((sum, { quantity }) => sum + quantity, 0) <= MAX_ISSUED_AT_ONCE,
    { path: ['licenses'], message: `must come to at most ${MAX_ISSUED_AT_ONCE} licenses` },
  )
  .refine(
    ({ licenses }) =>
      licenses.reduce((sum, each) => sum + each.quantity * JSON.stringify(each).length, 0) <=
      MAX_ISSUED_BYTES,
    { path: ['licenses'], message: 'must come to at most 4 MiB: issue fewer at once' },
  )

/** A merge patch: null takes away. Entitlements and metadata merge by name. */
export const UpdateLicenseInput = z.strictObject({
  starts_at: terms.starts_at.unwrap().nullable().optional(),
  expires_at: terms.expires_at,
  grace_days: terms.grace_days,
  customer_name: lineSchema(120).nullable().optional(),
  customer_email: email.nullable().optional(),
  entitlements: z
    .record(code, value.nullable())
    .refine(fewEnough, `must be at most ${MAX_ENTITLEMENTS} entitlements`)
    .nullable()
    .optional(),
  metadata: metadataSchema.nullable().optional(),
})

export const RenewLicenseInput = z
  .strictObject({
    expires_at: instantSchema.describe('The new end').optional(),
    days: z
      .number('must be a whole number')
      .int('must be a whole number')
      .min(1, 'must be at least 1')
      .max(36_500, 'must be at most 36500')
      .describe('Added to the end, or to now where it has expired')
      .optional(),
  })
  .refine(({ expires_at, days }) => expires_at === undefined || days === undefined, {
    path: ['days'],
    message: 'cannot stand beside expires_at',
  })

export const MoveLicenseInput = z.strictObject({
  product: productCodeSchema.describe('The code of the product that it is for from now on'),
})

export const LICENSE_ORDERS = ['created_at', '-created_at', 'expires_at', '-expires_at'] as const
export type LicenseOrder = (typeof LICENSE_ORDERS)[number]

export const SHOWN_STATUSES = [...LICENSE_STATUSES, 'expired'] as const

export const ListLicensesQuery = z.strictObject({
  ...pageInput,
  sort: z
    .enum(LICENSE_ORDERS, `must be one of ${LICENSE_ORDERS.join(', ')}`)
    .describe(
      '"-" is downwards; newest first where absent. Those that never expire come last, whichever way',
    )
    .optional(),
  status: z
    .enum(SHOWN_STATUSES, `must be one of ${SHOWN_STATUSES.join(', ')}`)
    .describe('Only those in this state; `active` has those that have expired taken out')
    .optional(),
  type: z
    .enum(LICENSE_TYPES, `must be one of ${LICENSE_TYPES.join(', ')}`)
    .describe('Only those of this type')
    .optional(),
  product: productCodeSchema.describe('Only those for this product').optional(),
  customer_email: z.string().max(255).describe('Only those of this customer').optional(),
  expires_before: instantSchema.describe('Only those that expire before').optional(),
  expires_after: instantSchema.describe('Only those that expire at or after').optional(),
  search: z
    .string()
    .trim()
    .min(2, 'must be at least 2 characters')
    .max(120, 'must be at most 120 characters')
    .describe('Part of a customer’s name or address, or the beginning of a license key')
    .optional(),
})

/** A license with the code of its product. */
export type LicenseOfProduct = { readonly license: LicenseRecord; readonly product: string }

/** As the Tenant API answers it and `--json` prints it. */
export const toLicenseObject = ({ license, product }: LicenseOfProduct, now: Date) => {
  const { status, code } = judge(license, now)
  return {
    id: license.id,
    key: license.key,
    product_id: license.productId,
    product,
    type: license.type,
    status,
    code,
    starts_at: license.startsAt ?? null,
    expires_at: license.expiresAt ?? null,
    grace_days: license.graceDays,
    entitlements: license.entitlements,
    metadata: license.metadata,
    customer_name: license.customerName ?? null,
    customer_email: license.customerEmail ?? null,
    activations: license.activations,
    last_used_at: license.lastUsedAt ?? null,
    suspended_at: license.suspendedAt ?? null,
    revoked_at: license.revokedAt ?? null,
    created_at: license.createdAt,
    updated_at: license.updatedAt,
  }
}
