import type { Connection } from 'mysql2'
import type { Context } from '../context.js'
import { inLentTransaction } from '../db/lent-transaction.js'
import { OWNER_TABLE } from '../db/ownership.js'
import { affectedBy, type Bindable, rowsOf } from '../db/statements.js'
import type { TenantPlace } from '../db/tenant-database-manager.js'
import { inTransaction, startingOver } from '../db/transaction.js'
import { fromJsonColumn } from '../parse.js'

const AT_A_TIME = 500
/** How long relayed events stay in the tenant's database. */
const KEPT_MS = 86_400_000

type Row = Readonly<Record<string, Bindable>> & {
  readonly id: number | string
  readonly changes: unknown
}

const COLUMNS = [
  'event_id',
  'occurred_at',
  'actor_type',
  'actor_id',
  'actor_name',
  'on_behalf_of',
  'action',
  'object_type',
  'object_id',
  'request_id',
  'address',
  'user_agent',
  'changes',
  'schema_version',
] as const

/**
 * Takes what a tenant's outbox holds to the trail, exactly once by the events' ids, in the order in which it was
 * written. Asked twice, at once or after a crash in the middle, it adds nothing: what is marked as relayed is there.
 *
 * @returns how many were relayed
 */
export async function relayOutbox(ctx: Context, tenant: TenantPlace): Promise<number> {
  let relayed = 0
  for (;;) {
    const pending = await ctx.tenantDatabases.lend(tenant, (connection) => pendingOf(connection, 1))
    if (pending.length === 0) return relayed
    const count = await startingOver(() =>
      ctx.tenantDatabases.lend(tenant, (connection) =>
        inLentTransaction(connection, () => relayBatch(ctx, tenant.id, connection)),
      ),
    )
    relayed += count
    if (count < AT_A_TIME) return relayed
  }
}

async function relayBatch(ctx: Context, tenantId: string, connection: Connection): Promise<number> {
  // Two relays side by side would draw the trail's ids in one order and use them in another: an event could come
  // before one that was over when it began. The row that says whose the database is lets in one at a time.
  await rowsOf(connection, `select 1 from ${OWNER_TABLE} for update`)
  const rows = await pendingOf(connection, AT_A_TIME)
  if (rows.length === 0) return 0
  await inTransaction(ctx.platform, (transaction) =>
    affectedBy(
      transaction,
      `insert ignore into audit_logs (tenant_id, outcome, ${COLUMNS.join(', ')}) values ${rows
        .map(() => `(?, 'success', ${COLUMNS.map(() => '?').join(', ')})`)
        .join(', ')}`,
      rows.flatMap((row) => [tenantId, ...COLUMNS.map((column) => textOf(column, row))]),
    ),
  )
  await settle(connection, rows, ctx.now())
  return rows.length
}

/** Not by a cursor: a row with a lower id may be committed later, and is found when it is there. */
const pendingOf = (connection: Connection, limit: number): Promise<Row[]> =>
  rowsOf<Row>(
    connection,
    `select id, ${COLUMNS.join(', ')} from outbox where relayed_at is null order by id limit ${limit}`,
  )

async function settle(connection: Connection, rows: readonly Row[], at: Date): Promise<void> {
  await affectedBy(
    connection,
    `update outbox set relayed_at = ? where id in (${rows.map(() => '?').join(', ')})`,
    [at, ...rows.map(({ id }) => id)],
  )
  await affectedBy(
    connection,
    `delete from outbox where relayed_at < ? order by relayed_at limit ${AT_A_TIME * 2}`,
    [new Date(at.getTime() - KEPT_MS)],
  )
}

function textOf(column: (typeof COLUMNS)[number], row: Row): Bindable {
  if (column !== 'changes') return row[column] ?? null
  return row.changes === null ? null : JSON.stringify(fromJsonColumn(row.changes))
}
