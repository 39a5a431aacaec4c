import { z } from 'zod'
import { metadataSchema } from '../metadata.js'

/** What the platform counts by itself: a caller may not report it. */
export const PLATFORM_METERS: readonly string[] = [
  'products.max',
  'licenses.max',
  'activations.max',
  'activations.total',
  'api_calls.monthly',
  'webhook_endpoints.max',
]

export const RecordUsageInput = z
  .strictObject({
    license_key: z.string('must be text').max(64, 'must be at most 64 characters'),
    metric: z
      .string('must be text')
      .regex(/^[a-z0-9]+([._-][a-z0-9]+)*$/, 'must be an entitlement code')
      .max(100, 'must be at most 100 characters')
      .refine((code) => !PLATFORM_METERS.includes(code), 'is counted by the platform itself'),
    quantity: z
      .number('must be a whole number')
      .int('must be a whole number')
      .min(1, 'must be at least 1')
      .max(1_000_000_000, 'must be at most 1000000000')
      .optional(),
    /** Another published name of `quantity`. */
    value: z
      .number('must be a whole number')
      .int('must be a whole number')
      .min(1, 'must be at least 1')
      .max(1_000_000_000, 'must be at most 1000000000')
      .optional(),
    metadata: metadataSchema.optional(),
    idempotency_key: z
      .string('must be text')
      .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 visible ASCII characters')
      .optional(),
  })
  .refine(({ quantity, value }) => quantity !== undefined || value !== undefined, {
    path: ['quantity'],
    message: 'is required',
  })

/** What was used, as it was reported. */
export type UsageEvent = {
  readonly id: string
  readonly code: string
  readonly quantity: number
  readonly recordedAt: Date
}
