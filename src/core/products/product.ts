import { z } from 'zod'
import { metadataSchema } from '../metadata.js'
import { pageInput } from '../page.js'
import { asciiSchema } from '../parse.js'

export const PRODUCT_STATUSES = ['active', 'archived'] as const
export type ProductStatus = (typeof PRODUCT_STATUSES)[number]

/** What licenses are issued for. */
export type Product = {
  readonly id: string
  readonly code: string
  readonly name: string
  readonly description: string | undefined
  readonly status: ProductStatus
  readonly metadata: Readonly<Record<string, unknown>>
  readonly revision: number
  readonly createdAt: Date
  readonly updatedAt: Date
}

export const productCodeSchema = z
  .string('must be text')
  .regex(
    /^[a-z0-9]+([._-][a-z0-9]+)*$/,
    'must be lower-case letters and digits, in words joined by ".", "_" or "-"',
  )
  .max(60, 'must be at most 60 characters')

/** One line that a person reads: no control characters, no half of a surrogate pair. */
export const lineSchema = (max: number) =>
  z
    .string('must be text')
    .trim()
    .min(1, 'must not be empty')
    .max(max, `must be at most ${max} characters`)
    .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), 'must be text without control characters')

const descriptionSchema = z
  .string('must be text')
  .max(1_000, 'must be at most 1000 characters')
  .refine((text) => !/\p{Cs}/u.test(text), 'must be text')

export const CreateProductInput = z.strictObject({
  code: productCodeSchema,
  name: lineSchema(120),
  description: descriptionSchema.optional(),
  metadata: metadataSchema.optional(),
})

/** A merge patch. The code is how licenses are issued, so it stays. */
export const UpdateProductInput = z.strictObject({
  name: lineSchema(120).optional(),
  description: descriptionSchema.nullable().optional(),
  status: z
    .enum(PRODUCT_STATUSES, `must be one of ${PRODUCT_STATUSES.join(', ')}`)
    .describe('No license is issued for an archived product; those that are stay valid')
    .optional(),
  metadata: metadataSchema.nullable().optional(),
})

export const ListProductsQuery = z.strictObject({
  ...pageInput,
  status: z
    .enum(PRODUCT_STATUSES, `must be one of ${PRODUCT_STATUSES.join(', ')}`)
    .describe('Only those in this state')
    .optional(),
  code: asciiSchema(60).describe('Only the one with this code').optional(),
})
