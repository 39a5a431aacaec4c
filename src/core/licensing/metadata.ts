import { z } from 'zod'

/** What a caller may attach to a record: any JSON object of at most 16 KiB. */
export const metadataSchema = z
  .record(z.string().max(100, 'must be at most 100 characters'), z.unknown())
  .refine((metadata) => JSON.stringify(metadata).length <= 16_384, 'must be at most 16 KiB as JSON')
