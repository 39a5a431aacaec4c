import type { PlatformDb } from '../db/connect.js'
import { type Bindable, insertRow, rowsOf } from '../db/statements.js'
import { isFailure } from '../driver-failure.js'
import { fromJsonColumn } from '../parse.js'
import { type By, type Change, type Event, eventRow } from './event.js'

/** Writes an event of the platform, unsealed. Answers false where an event with that id stands already. */
export async function insertAudit(db: PlatformDb, event: Event): Promise<boolean> {
  try {
    await insertRow(db, 'audit_logs', {
      ...eventRow(event),
      tenant_id: event.tenantId,
      outcome: 'success',
    })
    return true
  } catch (error) {
    if (event.eventId !== undefined && isFailure(error, 'duplicate')) return false
    throw error
  }
}

/** The same for a change that happens now, by whoever is at work. */
export const recordAudit = (
  db: PlatformDb,
  by: By,
  tenantId: string | null,
  change: Change,
): Promise<boolean> =>
  insertAudit(db, {
    ...change,
    tenantId,
    occurredAt: change.at,
    actor: by.actor,
    requestId: by.requestId,
  })

export async function hasAudit(db: PlatformDb, eventId: string): Promise<boolean> {
  return (await db('audit_logs').first('event_id').where({ event_id: eventId })) !== undefined
}

/** A row of the trail, as it is shown. */
export type AuditRow = {
  readonly id: string
  readonly eventId: string
  readonly sequence: number | undefined
  readonly occurredAt: Date
  readonly actorType: string
  readonly actorId: string
  readonly actorName: string
  /** For whom, where that is somebody else. */
  readonly onBehalfOf: string | undefined
  readonly action: string
  readonly objectType: string
  readonly objectId: string
  readonly outcome: string
  readonly requestId: string | undefined
  readonly changes: unknown
}

type Row = {
  id: number | string
  event_id: string
  sequence: number | string | null
  occurred_at: Date
  actor_type: string
  actor_id: string
  actor_name: string
  on_behalf_of: string | null
  action: string
  object_type: string
  object_id: string
  outcome: string
  request_id: string | null
  changes: unknown
}

export type AuditFilter = {
  readonly tenantId: string
  /** An action, or the beginning of some: `license.*`. */
  readonly action?: string | undefined
  readonly actorId?: string | undefined
  readonly objectType?: string | undefined
  readonly objectId?: string | undefined
  readonly since?: Date | undefined
  readonly until?: Date | undefined
  readonly beforeId?: string | undefined
  readonly limit: number
}

/** A tenant's part of the trail, newest first. */
export async function listAudit(db: PlatformDb, filter: AuditFilter): Promise<AuditRow[]> {
  const conditions: [string, Bindable][] = [['tenant_id = ?', filter.tenantId]]
  const { action } = filter
  if (action?.endsWith('*'))
    conditions.push(['action like ?', `${action.slice(0, -1).replaceAll(/[\\%_]/g, '\\$&')}%`])
  else if (action !== undefined) conditions.push(['action = ?', action])
  if (filter.actorId !== undefined) conditions.push(['actor_id = ?', filter.actorId])
  if (filter.objectType !== undefined) conditions.push(['object_type = ?', filter.objectType])
  if (filter.objectId !== undefined) conditions.push(['object_id = ?', filter.objectId])
  if (filter.since !== undefined) conditions.push(['occurred_at >= ?', filter.since])
  if (filter.until !== undefined) conditions.push(['occurred_at < ?', filter.until])
  if (filter.beforeId !== undefined) conditions.push(['id < ?', filter.beforeId])
  const rows = await rowsOf<Row>(
    db,
    `select id, event_id, sequence, occurred_at, actor_type, actor_id, actor_name, on_behalf_of, action, object_type, object_id, outcome, request_id, changes
      from audit_logs where ${conditions.map(([condition]) => condition).join(' and ')} order by id desc limit ?`,
    [...conditions.map(([, value]) => value), filter.limit],
  )
  return rows.map((row) => ({
    id: String(row.id),
    eventId: row.event_id,
    sequence: row.sequence === null ? undefined : Number(row.sequence),
    occurredAt: row.occurred_at,
    actorType: row.actor_type,
    actorId: row.actor_id,
    actorName: row.actor_name,
    onBehalfOf: row.on_behalf_of ?? undefined,
    action: row.action,
    objectType: row.object_type,
    objectId: row.object_id,
    outcome: row.outcome,
    requestId: row.request_id ?? undefined,
    changes: row.changes === null ? null : fromJsonColumn<unknown>(row.changes),
  }))
}
