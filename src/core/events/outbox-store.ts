import type { TenantDb } from '../db/connect.js'
import { type Executor, insertRows } from '../db/statements.js'
import { type By, type Change, type Event, eventRow } from './event.js'

/** Writes an event of a tenant beside the change that it tells of; the relay takes it to the platform. */
export const insertOutbox = (
  db: Executor<TenantDb>,
  event: Omit<Event, 'tenantId'>,
): Promise<void> => insertRows(db, 'outbox', [eventRow(event)])

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
      eventRow({ ...change, occurredAt: change.at, actor: by.actor, requestId: by.requestId }),
    ),
  )

export const recordEvent = (db: Executor<TenantDb>, by: By, change: Change): Promise<void> =>
  recordEvents(db, by, [change])
