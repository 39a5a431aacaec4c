import type { PlatformDb } from '../db/connect.js'
import { isFailure } from '../driver-failure.js'
import { newId } from '../ids.js'
import { type By, type Change, EVENT_SCHEMA_VERSION, type Event } from './event.js'

/** Writes an event of the platform, unsealed. Answers false where an event with that id stands already. */
export async function insertAudit(db: PlatformDb, event: Event): Promise<boolean> {
  try {
    await db('audit_logs').insert({
      event_id: event.eventId ?? newId(),
      occurred_at: event.occurredAt,
      tenant_id: event.tenantId,
      actor_type: event.actor.type,
      actor_id: event.actor.id,
      actor_name: event.actor.name,
      action: event.action,
      object_type: event.objectType,
      object_id: event.objectId,
      outcome: 'success',
      request_id: event.requestId ?? null,
      changes: event.changes === undefined ? null : JSON.stringify(event.changes),
      schema_version: EVENT_SCHEMA_VERSION,
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
