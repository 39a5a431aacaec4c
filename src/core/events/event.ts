import type { Actor } from '../actor.js'
import { newId } from '../ids.js'
import type { Action } from './actions.js'

/** The form of an event's row. Rises when a field changes its meaning. */
export const EVENT_SCHEMA_VERSION = 1

/** One thing that happened, as the trail keeps it. Written in the transaction of the change itself. */
export type Event = {
  /** Given where several attempts may write the same event: the second is then dropped. */
  readonly eventId?: string
  readonly occurredAt: Date
  readonly actor: Actor
  /** `noun.past-participle`, such as `license.created`: one of the catalogue. */
  readonly action: Action
  readonly objectType: string
  readonly objectId: string
  /** Null for what concerns the platform as a whole. */
  readonly tenantId: string | null
  /** Before and after, secrets left out. */
  readonly changes?: { readonly before?: unknown; readonly after?: unknown }
  readonly requestId?: string | undefined
}

/** Who is at work, and for which request: a context and a scope both say it. */
export type By = { readonly actor: Actor; readonly requestId?: string | undefined }

/** What is told of a change that happens now. */
export type Change = Pick<Event, 'action' | 'objectType' | 'objectId' | 'changes'> & {
  readonly at: Date
}

/** What an outbox and the trail both keep of an event. */
export const eventRow = (event: Omit<Event, 'tenantId'>) => ({
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
