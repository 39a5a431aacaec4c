import { createHash } from 'node:crypto'
import { AppError } from './errors.js'

/** What a caller may ask of a change: that it is done once, and to what they saw. */
export type Preconditions = {
  readonly idempotencyKey?: string | undefined
  /** An If-Match header: the change is for this version alone. */
  readonly ifMatch?: string | undefined
}

/** The version of a record as an entity tag (RFC 9110, section 8.8.3). */
export const etagOf = (revision: number): string => `"${revision}"`

/** The same for what has no revision: a digest of what is shown. */
export const etagOfValue = (value: unknown): string =>
  `"${createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16)}"`

/**
 * Call it with the record locked: between the look and the write nobody else may write.
 *
 * @throws REQUEST.PRECONDITION_FAILED where If-Match names another version (RFC 9110, section 13.1.1)
 */
export function assertMatch(ifMatch: string | undefined, etag: string): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return
  // a weak tag never matches here
  const tags = ifMatch.split(',').map((tag) => tag.trim())
  if (!tags.includes(etag)) throw new AppError('REQUEST.PRECONDITION_FAILED')
}
