import type { TenantDb } from '../db/connect.js'
import { type Executor, insertRow } from '../db/statements.js'
import { newId } from '../ids.js'
import { EVENT_SCHEMA_VERSION, type Event } from './event.js'

/** Writes an event of a tenant beside the change that it tells of; the relay takes it to the platform. */
export async function insertOutbox(
  db: Executor<TenantDb>,
  event: Omit<Event, 'tenantId'>,
): Promise<void> {
  await insertRow(db, 'outbox', {
    event_id: event.eventId ?? newId(),
    occurred_at: event.occurredAt,
    action: event.action,
    object_type: event.objectType,
    object_id: event.objectId,
    actor_type: event.actor.type,
    actor_id: event.actor.id,
    actor_name: event.actor.name,
    request_id: event.requestId ?? null,
    changes: event.changes === undefined ? null : JSON.stringify(event.changes),
    schema_version: EVENT_SCHEMA_VERSION,
  })
}
