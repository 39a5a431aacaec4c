import { z } from 'zod'

/** What a caller may attach to a record: any JSON object of at most 16 KiB. */
export const metadataSchema = z
  .record(z.string().max(100, 'must be at most 100 characters'), z.unknown())
  .refine(
    isKeepable,
    'must hold no number that cannot be kept exactly (send it as a string), and no half of a surrogate pair',
  )
  .refine(
    (metadata) => Buffer.byteLength(JSON.stringify(metadata)) <= 16_384,
    'must be at most 16 KiB as JSON',
  )

/**
 * `1e400` is JSON, is read as infinity, and would be written as null; an integer beyond 2^53 is read as
 * another (RFC 8259, section 6); the database takes no lone surrogate.
 */
function isKeepable(value: unknown): boolean {
  if (typeof value === 'number')
    return Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value))
  if (typeof value === 'string') return !/\p{Cs}/u.test(value)
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([name, own]) => isKeepable(name) && isKeepable(own))
}
