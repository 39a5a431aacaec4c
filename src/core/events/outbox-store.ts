import type { TenantDb } from '../db/connect.js'
import { type Executor, insertRows } from '../db/statements.js'
import { newId } from '../ids.js'
import { type By, type Change, EVENT_SCHEMA_VERSION, type Event } from './event.js'

/** Writes an event of a tenant beside the change that it tells of; the relay takes it to the platform. */
export const insertOutbox = (
  db: Executor<TenantDb>,
  event: Omit<Event, 'tenantId'>,
): Promise<void> => insertRows(db, 'outbox', [toRow(event)])

/** The same for changes that happen now, by whoever is at work: one event for each. */
export const recordEvents = (
  db: Executor<TenantDb>,
  by: By,
  changes: readonly Change[],
): Promise<void> =>
  insertRows(
    db,
    'outbox',
    changes.map((change) =>
      toRow({ ...change, occurredAt: change.at, actor: by.actor, requestId: by.requestId }),
    ),
  )

export const recordEvent = (db: Executor<TenantDb>, by: By, change: Change): Promise<void> =>
  recordEvents(db, by, [change])

const toRow = (event: Omit<Event, 'tenantId'>) => ({
  event_id: event.eventId ?? newId(),
  occurred_at: event.occurredAt,
  action: event.action,
  object_type: event.objectType,
  object_id: event.objectId,
  actor_type: event.actor.type,
  actor_id: event.actor.id,
  actor_name: event.actor.name,
  on_behalf_of: event.actor.onBehalfOf ?? null,
  address: event.actor.address ?? null,
  user_agent: event.actor.userAgent?.slice(0, 256) ?? null,
  request_id: event.requestId ?? null,
  changes: event.changes === undefined ? null : JSON.stringify(event.changes),
  schema_version: EVENT_SCHEMA_VERSION,
})
