import { z } from 'zod'
import { ACTIVATION_STATUSES } from '../../core/licensing/activation.js'
import { LICENSE_TYPES } from '../../core/licensing/license.js'

/** What the published API answers. The suite holds every answer against these. */
const id = z.string().describe('Opaque id')
const time = z.iso.datetime().describe('RFC 3339 in UTC')
export const licenseStatus = z.enum(['active', 'expired', 'suspended', 'revoked'])
export const entitlementValue = z.union([z.boolean(), z.number(), z.string()])

export const licenseAnswer = z.strictObject({
  valid: z.boolean(),
  code: z
    .enum(['VALID', 'GRACE_PERIOD', 'NOT_YET_VALID', 'EXPIRED', 'SUSPENDED'])
    .describe('Why the license is valid or not'),
  license: z.strictObject({
    id,
    key: z.string(),
    type: z.enum(LICENSE_TYPES),
    status: licenseStatus,
    expires_at: time.nullable(),
    entitlements: z.record(z.string(), entitlementValue),
  }),
  checks: z
    .array(
      z.strictObject({
        check: z.string(),
        passed: z.boolean(),
        value: z.union([z.string(), z.number(), z.null()]),
        compared_with: z.string().nullable(),
      }),
    )
    .optional()
    .describe('Every check with the values compared; only with explain=true'),
})

export const activationObject = z.strictObject({
  id,
  license_id: id,
  license_key_id: id.describe('The same as license_id, under its published name'),
  instance_id: z.string(),
  device_fingerprint: z.string(),
  status: z.enum(ACTIVATION_STATUSES),
  activated_at: time,
  created_at: time,
  metadata: z.record(z.string(), z.unknown()),
})

export const activationAnswer = z.strictObject({ activation: activationObject })

export const activationValidationAnswer = z.strictObject({
  valid: z.boolean(),
  activation: activationObject,
  license: z.strictObject({ id, status: licenseStatus, expires_at: time.nullable() }),
})

const entitlementsOfLicense = z.strictObject({
  entitlements: z.strictObject({
    features: z.record(
      z.string(),
      z.strictObject({ granted: z.boolean(), value: entitlementValue.nullable() }),
    ),
    limits: z.record(z.string(), z.strictObject({ limit: z.number(), type: z.literal('metered') })),
  }),
})

const entitlementsOfTenant = z.record(
  z.string(),
  z.strictObject({
    entitled: z.boolean(),
    type: z.enum(['boolean', 'metered', 'text']).nullable(),
    value: entitlementValue.nullable(),
  }),
)

export const entitlementsAnswer = z.union([entitlementsOfLicense, entitlementsOfTenant])

export const usageAnswer = z.strictObject({
  recorded: z.literal(true).describe('A promise: the event is committed'),
  usage_event: z.strictObject({
    id,
    entitlement_code: z.string(),
    quantity: z.number(),
    recorded_at: time,
  }),
})
