import type { PlatformDb } from '../db/connect.js'
import { affectedBy, type Bindable, type Executor, rowsOf } from '../db/statements.js'
import { lowestIdAt, newId } from '../ids.js'
import { fromJsonColumn } from '../parse.js'
import type { Delivery, DeliveryStatus } from './delivery.js'

type Row = {
  id: string
  endpoint_id: string
  tenant_id: string
  event_id: string
  event_type: string
  payload: string
  status: DeliveryStatus
  attempts: number
  next_attempt_at: Date | null
  response_status: number | null
  last_error: string | null
  delivered_at: Date | null
  created_at: Date
}

const COLUMNS =
  'id, endpoint_id, tenant_id, event_id, event_type, payload, status, attempts, next_attempt_at, response_status, last_error, delivered_at, created_at'

const toDelivery = (row: Row): Delivery => ({
  id: row.id,
  endpointId: row.endpoint_id,
  tenantId: row.tenant_id,
  eventId: row.event_id,
  eventType: row.event_type,
  payload: row.payload,
  status: row.status,
  attempts: row.attempts,
  nextAttemptAt: row.next_attempt_at ?? undefined,
  responseStatus: row.response_status ?? undefined,
  lastError: row.last_error ?? undefined,
  deliveredAt: row.delivered_at ?? undefined,
  createdAt: row.created_at,
})

/** What a tenant's enabled endpoints want to be told of. */
export async function listSubscriptions(
  db: Executor,
  tenantIds: readonly string[],
): Promise<
  { readonly endpointId: string; readonly tenantId: string; readonly events: readonly string[] }[]
> {
  if (tenantIds.length === 0) return []
  const rows = await rowsOf<{ id: string; tenant_id: string; events: unknown }>(
    db,
    `select id, tenant_id, events from webhook_endpoints where status = 'enabled' and url is not null
      and tenant_id in (${tenantIds.map(() => '?').join(', ')}) order by id`,
    tenantIds,
  )
  return rows.map(({ id, tenant_id, events }) => ({
    endpointId: id,
    tenantId: tenant_id,
    events: fromJsonColumn<string[]>(events),
  }))
}

export type NewDelivery = Pick<
  Delivery,
  'endpointId' | 'tenantId' | 'eventId' | 'eventType' | 'payload'
>

/** Payloads may be long: so many fit into a packet whatever they hold. */
const INSERTED_AT_A_TIME = 100

/** An event goes to an endpoint once: the unique index decides. */
export async function insertDeliveries(
  db: Executor,
  deliveries: readonly NewDelivery[],
  at: Date,
): Promise<void> {
  for (let start = 0; start < deliveries.length; start += INSERTED_AT_A_TIME) {
    const some = deliveries.slice(start, start + INSERTED_AT_A_TIME)
    await affectedBy(
      db,
      `insert ignore into webhook_deliveries (id, endpoint_id, tenant_id, event_id, event_type, payload, status, attempts, next_attempt_at, created_at, updated_at)
        values ${some.map(() => "(?, ?, ?, ?, ?, ?, 'pending', 0, ?, ?, ?)").join(', ')}`,
      some.flatMap((each) => [
        newId(),
        each.endpointId,
        each.tenantId,
        each.eventId,
        each.eventType,
        each.payload,
        at,
        at,
        at,
      ]),
    )
  }
}

export type Claimed = Delivery & {
  readonly url: string
  readonly secretEncrypted: string
  readonly previousSecretEncrypted: string | undefined
  readonly failingSince: Date | undefined
}

/**
 * Takes deliveries that are due for this process until `until`. What another process has taken is passed over, not
 * waited for; what one that died had taken comes back when its time is over.
 *
 * @param busy endpoints that have as many under way as they may
 * @param spareFailing passes over all endpoints that failed last
 */
export async function claimDeliveries(
  transaction: PlatformDb,
  {
    holder,
    at,
    until,
    limit,
    busy,
    spareFailing,
  }: {
    readonly holder: string
    readonly at: Date
    readonly until: Date
    readonly limit: number
    readonly busy: readonly string[]
    readonly spareFailing: boolean
  },
): Promise<Claimed[]> {
  const rows = await rowsOf<{ id: string }>(
    transaction,
    `select id from webhook_deliveries where status = 'pending' and next_attempt_at <= ?
      and (claimed_until is null or claimed_until < ?)
      ${busy.length > 0 ? `and endpoint_id not in (${busy.map(() => '?').join(', ')})` : ''}
      ${spareFailing ? 'and endpoint_id not in (select id from webhook_endpoints where failing_since is not null)' : ''}
      order by next_attempt_at, id limit ? for update skip locked`,
    [at, at, ...busy, limit],
  )
  if (rows.length === 0) return []
  const ids = rows.map(({ id }) => id)
  const places = ids.map(() => '?').join(', ')
  await affectedBy(
    transaction,
    `update webhook_deliveries set claimed_by = ?, claimed_until = ? where id in (${places})`,
    [holder, until, ...ids],
  )
  const claimed = await rowsOf<
    Row & {
      url: string | null
      secret_encrypted: string
      previous_secret_encrypted: string | null
      previous_secret_expires_at: Date | null
      failing_since: Date | null
      endpoint_status: string
    }
  >(
    transaction,
    `select ${COLUMNS.split(', ')
      .map((column) => `deliveries.${column}`)
      .join(', ')}, endpoints.url, endpoints.secret_encrypted, endpoints.previous_secret_encrypted,
        endpoints.previous_secret_expires_at, endpoints.failing_since, endpoints.status as endpoint_status
      from webhook_deliveries deliveries join webhook_endpoints endpoints on endpoints.id = deliveries.endpoint_id
      where deliveries.id in (${places}) order by deliveries.next_attempt_at, deliveries.id`,
    ids,
  )
  return claimed.map((row) => ({
    ...toDelivery(row),
    url: row.endpoint_status === 'enabled' ? (row.url ?? '') : '',
    secretEncrypted: row.secret_encrypted,
    previousSecretEncrypted:
      row.previous_secret_expires_at && row.previous_secret_expires_at > at
        ? (row.previous_secret_encrypted ?? undefined)
        : undefined,
    failingSince: row.failing_since ?? undefined,
  }))
}

export type Outcome = {
  readonly status: DeliveryStatus
  readonly nextAttemptAt: Date | undefined
  readonly responseStatus: number | undefined
  readonly error: string | undefined
}

/** Writes down what came of an attempt, if it is still ours to tell. */
export const settleDelivery = (
  db: PlatformDb,
  id: string,
  holder: string,
  { status, nextAttemptAt, responseStatus, error }: Outcome,
  at: Date,
) =>
  affectedBy(
    db,
    `update webhook_deliveries set status = ?, attempts = attempts + 1, next_attempt_at = ?, response_status = ?, last_error = ?,
      delivered_at = ?, claimed_by = null, claimed_until = null, updated_at = ? where id = ? and claimed_by = ?`,
    [
      status,
      nextAttemptAt ?? null,
      responseStatus ?? null,
      error?.slice(0, 500) ?? null,
      status === 'delivered' ? at : null,
      at,
      id,
      holder,
    ],
  )

/** Since when an endpoint has not taken anything; null where it does. */
export const setFailingSince = (db: PlatformDb, endpointId: string, since: Date | null) =>
  affectedBy(
    db,
    `update webhook_endpoints set failing_since = ${since ? 'coalesce(failing_since, ?)' : '?'} where id = ?`,
    [since, endpointId],
  )

export type DeliveryFilter = {
  readonly tenantId: string
  readonly endpointId?: string | undefined
  readonly status?: DeliveryStatus | undefined
  readonly since?: Date | undefined
  readonly beforeId?: string | undefined
  readonly limit: number
}

function conditionsOf(filter: Omit<DeliveryFilter, 'limit'>): { sql: string; values: Bindable[] } {
  const conditions: [string, Bindable][] = [['tenant_id = ?', filter.tenantId]]
  if (filter.endpointId !== undefined) conditions.push(['endpoint_id = ?', filter.endpointId])
  if (filter.status !== undefined) conditions.push(['status = ?', filter.status])
  if (filter.since !== undefined) conditions.push(['created_at >= ?', filter.since])
  if (filter.beforeId !== undefined) conditions.push(['id < ?', filter.beforeId])
  return {
    sql: conditions.map(([condition]) => condition).join(' and '),
    values: conditions.map(([, value]) => value),
  }
}

/** Newest first. */
export async function listDeliveries(db: PlatformDb, filter: DeliveryFilter): Promise<Delivery[]> {
  const { sql, values } = conditionsOf(filter)
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from webhook_deliveries where ${sql} order by id desc limit ?`,
    [...values, filter.limit],
  )
  return rows.map(toDelivery)
}

/** Has them tried again from the beginning, now; what is under way is left. Answers how many. */
export const requeueDeliveries = (
  db: PlatformDb,
  filter: Omit<DeliveryFilter, 'limit' | 'beforeId'>,
  at: Date,
): Promise<number> => {
  const { sql, values } = conditionsOf(filter)
  return affectedBy(
    db,
    `update webhook_deliveries set status = 'pending', attempts = 0, next_attempt_at = ?, updated_at = ?
      where ${sql} and (claimed_until is null or claimed_until < ?)`,
    [at, at, ...values, at],
  )
}

/** Removes the oldest that were made before a time and are over. Answers how many, so many at the most. */
export const removeDeliveries = (db: Executor, before: Date, limit: number): Promise<number> =>
  affectedBy(
    db,
    "delete from webhook_deliveries where id < ? and status <> 'pending' order by id limit ?",
    [lowestIdAt(before), limit],
  )
