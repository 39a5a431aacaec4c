import type { PlatformDb } from '../db/connect.js'
import { affectedBy, type Bindable, type Executor, rowsOf } from '../db/statements.js'
import { fromJsonColumn, readUuid } from '../parse.js'
import type { AuditRecord } from './audit-record.js'

type Row = {
  id: number | string
  sequence: number | string | null
  event_id: string
  occurred_at: string
  tenant_id: string | null
  actor_type: string
  actor_id: string
  actor_name: string
  on_behalf_of: string | null
  action: string
  object_type: string
  object_id: string
  outcome: string
  request_id: string | null
  address: string | null
  user_agent: string | null
  changes: unknown
  schema_version: number
  previous_hash: Buffer | null
  hash: Buffer | null
}

const COLUMNS = `id, sequence, event_id, date_format(occurred_at, '%Y-%m-%dT%H:%i:%s.%fZ') as occurred_at, tenant_id,
  actor_type, actor_id, actor_name, on_behalf_of, action, object_type, object_id, outcome, request_id, address,
  user_agent, changes, schema_version, previous_hash, hash`

const toRecord = (row: Row): AuditRecord => ({
  id: String(row.id),
  sequence: row.sequence === null ? undefined : Number(row.sequence),
  eventId: row.event_id,
  occurredAt: row.occurred_at,
  tenantId: row.tenant_id,
  actorType: row.actor_type,
  actorId: row.actor_id,
  actorName: row.actor_name,
  onBehalfOf: row.on_behalf_of,
  action: row.action,
  objectType: row.object_type,
  objectId: row.object_id,
  outcome: row.outcome,
  requestId: row.request_id,
  address: row.address,
  userAgent: row.user_agent,
  changes: row.changes === null ? null : fromJsonColumn<unknown>(row.changes),
  schemaVersion: row.schema_version,
  previousHash: row.previous_hash ?? undefined,
  hash: row.hash ?? undefined,
})

export type Head = { readonly sequence: number; readonly hash: Buffer }

/** The last sealed row. */
export async function findHead(db: Executor): Promise<Head | undefined> {
  const [row] = await rowsOf<{ sequence: number | string; hash: Buffer }>(
    db,
    'select sequence, hash from audit_logs where sequence is not null order by sequence desc limit 1',
  )
  return row && { sequence: Number(row.sequence), hash: row.hash }
}

/** The place of the first sealed row that happened at or after a time; rows behind it may still be of before. */
export async function findFirstSince(db: Executor, since: Date): Promise<number | undefined> {
  const [row] = await rowsOf<{ first: number | string | null }>(
    db,
    'select min(sequence) as first from audit_logs where occurred_at >= ?',
    [since],
  )
  return row?.first == null ? undefined : Number(row.first)
}

/** Rows that have no place in the chain yet, in the order of their arrival. */
export async function listUnsealed(db: Executor, limit: number): Promise<AuditRecord[]> {
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from audit_logs where sequence is null order by id limit ?`,
    [limit],
  )
  return rows.map(toRecord)
}

export type Seal = {
  readonly id: string
  readonly sequence: number
  readonly previousHash: Buffer
  readonly hash: Buffer
}

/** Gives rows their places. Of a row that has one already nothing is changed. */
export async function setSeals(db: PlatformDb, seals: readonly Seal[]): Promise<number> {
  const rows = seals.map((_, index) =>
    index === 0
      ? 'select cast(? as unsigned) as id, cast(? as unsigned) as sequence, ? as previous_hash, ? as hash'
      : 'select cast(? as unsigned), cast(? as unsigned), ?, ?',
  )
  return affectedBy(
    db,
    `update audit_logs join (${rows.join(' union all ')}) seals on seals.id = audit_logs.id
      set audit_logs.sequence = seals.sequence, audit_logs.previous_hash = seals.previous_hash, audit_logs.hash = seals.hash
      where audit_logs.sequence is null`,
    seals.flatMap(({ id, sequence, previousHash, hash }) => [id, sequence, previousHash, hash]),
  )
}

export type SealedFilter = {
  readonly tenantId?: string | undefined
  /** An action, or the beginning of some: `license.*`. */
  readonly action?: string | undefined
  /** An actor's id or name. */
  readonly actor?: string | undefined
  readonly since?: Date | undefined
  /** Only what stands after this place. */
  readonly afterSequence?: number | undefined
  /** Up to and with this place. */
  readonly upToSequence?: number | undefined
  readonly limit: number
}

/** The sealed chain, upwards. */
export async function listSealed(db: Executor, filter: SealedFilter): Promise<AuditRecord[]> {
  const { sql, values } = conditionsOf(filter)
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from audit_logs where sequence is not null${sql} order by sequence limit ?`,
    [...values, filter.limit],
  )
  return rows.map(toRecord)
}

/** The last so many that the filter lets through, upwards. */
export async function listLastSealed(db: Executor, filter: SealedFilter): Promise<AuditRecord[]> {
  const { sql, values } = conditionsOf(filter)
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from audit_logs where sequence is not null${sql} order by sequence desc limit ?`,
    [...values, filter.limit],
  )
  return rows.map(toRecord).reverse()
}

function conditionsOf(filter: SealedFilter): { sql: string; values: Bindable[] } {
  const conditions: [string, ...Bindable[]][] = []
  const { tenantId, action, actor, since, afterSequence, upToSequence } = filter
  if (tenantId !== undefined) conditions.push(['tenant_id = ?', tenantId])
  if (action?.endsWith('*'))
    conditions.push(['action like ?', `${escapeLike(action.slice(0, -1))}%`])
  else if (action !== undefined) conditions.push(['action = ?', action])
  if (actor !== undefined)
    conditions.push(['(actor_id = ? or actor_name = ?)', readUuid(actor) ?? actor, actor])
  if (since !== undefined) conditions.push(['occurred_at >= ?', since])
  if (afterSequence !== undefined) conditions.push(['sequence > ?', afterSequence])
  if (upToSequence !== undefined) conditions.push(['sequence <= ?', upToSequence])
  return {
    sql: conditions.map(([condition]) => ` and ${condition}`).join(''),
    values: conditions.flatMap(([, ...values]) => values),
  }
}

const escapeLike = (text: string): string => text.replaceAll(/[\\%_]/g, '\\$&')

/** How many rows wait for their place, and how many have one. */
export async function countAudit(
  db: Executor,
): Promise<{ readonly sealed: number; readonly unsealed: number }> {
  const [row] = await rowsOf<{ sealed: number | string; total: number | string }>(
    db,
    'select count(sequence) as sealed, count(*) as total from audit_logs',
  )
  const sealed = Number(row?.sealed ?? 0)
  return { sealed, unsealed: Number(row?.total ?? 0) - sealed }
}
