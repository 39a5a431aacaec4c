import { createHmac } from 'node:crypto'

/** A row of the trail, field by field as it is hashed. Times are text, to the microsecond that the database keeps. */
export type AuditRecord = {
  /** The order of arrival, which is no promise; `sequence` is. */
  readonly id: string
  readonly sequence: number | undefined
  readonly eventId: string
  readonly occurredAt: string
  readonly tenantId: string | null
  readonly actorType: string
  readonly actorId: string
  readonly actorName: string
  readonly onBehalfOf: string | null
  readonly action: string
  readonly objectType: string
  readonly objectId: string
  readonly outcome: string
  readonly requestId: string | null
  readonly address: string | null
  readonly userAgent: string | null
  readonly changes: unknown
  readonly schemaVersion: number
  readonly previousHash: Buffer | undefined
  readonly hash: Buffer | undefined
}

/** What the first row of all is chained to. */
export const GENESIS = Buffer.alloc(32)

/**
 * HMAC-SHA256 over the row before and all that this one says, in one form: a JSON list of its fields in a fixed
 * order, objects within by the order of their names. The two databases keep JSON differently, and this is the same
 * of both.
 */
export function chainHash(
  key: Buffer,
  previousHash: Buffer,
  sequence: number,
  record: AuditRecord,
): Buffer {
  const fields = [
    sequence,
    record.eventId,
    record.occurredAt,
    record.tenantId,
    record.actorType,
    record.actorId,
    record.actorName,
    record.onBehalfOf,
    record.action,
    record.objectType,
    record.objectId,
    record.outcome,
    record.requestId,
    record.address,
    record.userAgent,
    sorted(record.changes),
    record.schemaVersion,
  ]
  return createHmac('sha256', key).update(previousHash).update(JSON.stringify(fields)).digest()
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, own]) => [name, sorted(own)]),
  )
}
