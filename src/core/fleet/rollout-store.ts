import type { PlatformDb } from '../db/connect.js'
import { affectedBy, type Bindable, rowsOf } from '../db/statements.js'
import { AppError } from '../errors.js'
import { fromJsonColumn } from '../parse.js'
import type { Direction } from './recorded-sql.js'
import {
  doneIn,
  type Rollout,
  type RolloutStatus,
  type RolloutTenant,
  type RolloutTenantStatus,
  type RolloutTerms,
} from './rollout.js'

const AT_A_TIME = 500

type Row = {
  id: string
  direction: Direction
  target: string | null
  undoes: string | null
  status: RolloutStatus
  options: unknown
  tenants_total: number
  records_applied: number
  started_by: string
  started_at: Date
  finished_at: Date | null
}

const COLUMNS =
  'id, direction, target, undoes, status, options, tenants_total, records_applied, started_by, started_at, finished_at'

const toRollout = (row: Row): Rollout => ({
  ...fromJsonColumn<RolloutTerms>(row.options),
  id: row.id,
  direction: row.direction,
  target: row.target ?? undefined,
  undoes: row.undoes ?? undefined,
  status: row.status,
  tenants: row.tenants_total,
  recordsApplied: Boolean(row.records_applied),
  startedBy: row.started_by,
  startedAt: row.started_at,
  finishedAt: row.finished_at ?? undefined,
})

export async function insertRollout(
  db: PlatformDb,
  rollout: Omit<Rollout, 'recordsApplied'>,
): Promise<void> {
  const { id, direction, target, undoes, status, tenants, startedBy, startedAt } = rollout
  const { canary, batchSize, concurrency, maxFailures } = rollout
  await db('rollouts').insert({
    id,
    direction,
    target: target ?? null,
    undoes: undoes ?? null,
    status,
    options: JSON.stringify({ canary, batchSize, concurrency, maxFailures }),
    tenants_total: tenants,
    records_applied: true,
    started_by: startedBy,
    started_at: startedAt,
    created_at: startedAt,
    updated_at: startedAt,
  })
}

/** Newest first. */
export async function listRollouts(db: PlatformDb, limit: number, offset = 0): Promise<Rollout[]> {
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from rollouts order by created_at desc, id desc limit ${Number(limit)} offset ${Number(offset)}`,
  )
  return rows.map(toRollout)
}

/** By its id, or enough of its end to name one. @throws ROLLOUT.NOT_FOUND */
export async function getRollout(db: PlatformDb, id: string): Promise<Rollout> {
  const wellFormed = /^[0-9a-f-]{4,36}$/.test(id)
  const rows = wellFormed
    ? await rowsOf<Row>(db, `select ${COLUMNS} from rollouts where id = ? or id like ? limit 2`, [
        id,
        `%${id}`,
      ])
    : []
  const [only] = rows
  if (!only || rows.length > 1) throw new AppError('ROLLOUT.NOT_FOUND', id)
  return toRollout(only)
}

export async function setRolloutStatus(
  db: PlatformDb,
  id: string,
  status: RolloutStatus,
  at: Date,
): Promise<void> {
  await affectedBy(
    db,
    'update rollouts set status = ?, finished_at = ?, updated_at = ? where id = ?',
    [status, status === 'running' ? null : at, at, id],
  )
}

/** Closes rollouts whose process died. Call it under the lease: then no rollout can be running. */
export async function interruptAbandoned(db: PlatformDb, at: Date): Promise<void> {
  await affectedBy(
    db,
    "update rollouts set status = 'interrupted', finished_at = ?, updated_at = ? where status = 'running'",
    [at, at],
  )
}

export type NewRolloutTenant = Pick<RolloutTenant, 'tenantId' | 'batch' | 'status' | 'planned'> &
  Partial<Pick<RolloutTenant, 'errorCode' | 'error'>>

export async function insertRolloutTenants(
  db: PlatformDb,
  rolloutId: string,
  tenants: readonly NewRolloutTenant[],
): Promise<void> {
  for (let start = 0; start < tenants.length; start += AT_A_TIME) {
    await db('rollout_tenants').insert(
      tenants
        .slice(start, start + AT_A_TIME)
        .map(({ tenantId, batch, status, planned, errorCode, error }) => ({
          rollout_id: rolloutId,
          tenant_id: tenantId,
          batch,
          status,
          attempts: 0,
          planned: JSON.stringify(planned),
          error_code: errorCode ?? null,
          error: error?.slice(0, 1000) ?? null,
        })),
    )
  }
}

/** Says, before anything is done to any of them, that these may be half done from now on. */
export async function markRunning(
  db: PlatformDb,
  rolloutId: string,
  tenantIds: readonly string[],
  at: Date,
): Promise<void> {
  for (let start = 0; start < tenantIds.length; start += AT_A_TIME) {
    const some = tenantIds.slice(start, start + AT_A_TIME)
    await affectedBy(
      db,
      `update rollout_tenants set status = 'running', attempts = attempts + 1, started_at = ?, finished_at = null, error_code = null, error = null
        where rollout_id = ? and tenant_id in (${some.map(() => '?').join(', ')})`,
      [at, rolloutId, ...some],
    )
  }
}

export type RolloutResult = {
  readonly tenantId: string
  readonly status: Extract<RolloutTenantStatus, 'done' | 'failed' | 'pending'>
  /** What the rollout did in the tenant, in all its attempts. */
  readonly applied: readonly string[]
  readonly cutOff?: boolean
  readonly finishedAt: Date
  readonly errorCode?: string | undefined
  readonly error?: string | undefined
}

/** Records the results of many tenants in one statement. */
export async function recordResults(
  db: PlatformDb,
  rolloutId: string,
  results: readonly RolloutResult[],
): Promise<void> {
  for (let start = 0; start < results.length; start += AT_A_TIME) {
    const some = results.slice(start, start + AT_A_TIME)
    const values = some.flatMap((result): Bindable[] => [
      rolloutId,
      result.tenantId,
      result.status,
      result.cutOff ?? false,
      JSON.stringify(result.applied),
      result.finishedAt,
      result.errorCode ?? null,
      result.error?.slice(0, 1000) ?? null,
    ])
    await affectedBy(
      db,
      `insert into rollout_tenants (rollout_id, tenant_id, batch, status, cut_off, attempts, applied, finished_at, error_code, error)
        values ${some.map(() => '(?, ?, 0, ?, ?, 1, ?, ?, ?, ?)').join(', ')}
        on duplicate key update status = values(status), cut_off = values(cut_off), applied = values(applied),
          finished_at = values(finished_at), error_code = values(error_code), error = values(error)`,
      values,
    )
  }
}

/** Records what is planned for tenants of a rollout, and what it did there in earlier attempts. */
export async function recordPlans(
  db: PlatformDb,
  rolloutId: string,
  tenants: readonly Pick<RolloutTenant, 'tenantId' | 'planned' | 'applied'>[],
): Promise<void> {
  for (let start = 0; start < tenants.length; start += AT_A_TIME) {
    const some = tenants.slice(start, start + AT_A_TIME)
    await affectedBy(
      db,
      `insert into rollout_tenants (rollout_id, tenant_id, batch, status, attempts, planned, applied)
        values ${some.map(() => "(?, ?, 0, 'pending', 0, ?, ?)").join(', ')}
        on duplicate key update planned = values(planned), applied = values(applied)`,
      some.flatMap(({ tenantId, planned, applied }): Bindable[] => [
        rolloutId,
        tenantId,
        JSON.stringify(planned),
        JSON.stringify(applied),
      ]),
    )
  }
}

type TenantRow = {
  tenant_id: string
  slug: string
  batch: number
  status: RolloutTenantStatus
  cut_off: number
  attempts: number
  planned: unknown
  applied: unknown
  started_at: Date | null
  finished_at: Date | null
  error_code: string | null
  error: string | null
}

const toTenant = (row: TenantRow): RolloutTenant => ({
  tenantId: row.tenant_id,
  slug: row.slug,
  batch: row.batch,
  status: row.status,
  cutOff: Boolean(row.cut_off),
  attempts: row.attempts,
  planned: row.planned === null ? [] : fromJsonColumn<string[]>(row.planned),
  applied: row.applied === null ? [] : fromJsonColumn<string[]>(row.applied),
  startedAt: row.started_at ?? undefined,
  finishedAt: row.finished_at ?? undefined,
  errorCode: row.error_code ?? undefined,
  error: row.error ?? undefined,
})

const TENANT_COLUMNS = `rollout_tenants.tenant_id, tenants.slug, rollout_tenants.batch, rollout_tenants.status,
  rollout_tenants.cut_off, rollout_tenants.attempts, rollout_tenants.planned, rollout_tenants.applied, rollout_tenants.started_at,
  rollout_tenants.finished_at, rollout_tenants.error_code, rollout_tenants.error`

export async function listRolloutTenants(
  db: PlatformDb,
  rolloutId: string,
  statuses: readonly RolloutTenantStatus[] = [],
): Promise<RolloutTenant[]> {
  const rows = await rowsOf<TenantRow>(
    db,
    `select ${TENANT_COLUMNS}
      from rollout_tenants join tenants on tenants.id = rollout_tenants.tenant_id
      where rollout_tenants.rollout_id = ?
        ${statuses.length > 0 ? `and rollout_tenants.status in (${statuses.map(() => '?').join(', ')})` : ''}
      order by rollout_tenants.batch, tenants.slug`,
    [rolloutId, ...statuses],
  )
  return rows.map(toTenant)
}

export async function countByStatus(
  db: PlatformDb,
  rolloutId: string,
): Promise<Partial<Record<RolloutTenantStatus, number>>> {
  const rows = await rowsOf<{ status: RolloutTenantStatus; count: number }>(
    db,
    'select status, count(*) as count from rollout_tenants where rollout_id = ? group by status',
    [rolloutId],
  )
  return Object.fromEntries(rows.map(({ status, count }) => [status, Number(count)]))
}

/** SQL form of `isCutOff`. */
const CUT_OFF =
  "(rollout_tenants.status = 'running' or (rollout_tenants.status = 'failed' and rollout_tenants.cut_off))"

/** What a rollout that was cut off in a tenant was to do there. */
export type CutOff = { readonly direction: Direction; readonly planned: readonly string[] }

/** By tenant id: rollouts that were cut off in the tenant, and that no later one has settled. */
export async function listCutOffs(db: PlatformDb): Promise<Map<string, CutOff[]>> {
  const rows = await rowsOf<{ tenant_id: string; direction: Direction; planned: unknown }>(
    db,
    `select rollout_tenants.tenant_id, rollouts.direction, rollout_tenants.planned
      from rollouts join rollout_tenants on rollout_tenants.rollout_id = rollouts.id and ${CUT_OFF}
      where rollouts.status <> 'done'`,
  )
  const cutOffs = new Map<string, CutOff[]>()
  for (const { tenant_id, direction, planned } of rows) {
    const known = cutOffs.get(tenant_id) ?? []
    cutOffs.set(tenant_id, known)
    known.push({
      direction,
      planned: planned === null ? [] : fromJsonColumn<string[]>(planned),
    })
  }
  return cutOffs
}

/**
 * Hands the suspects of earlier rollouts on to this one. What each earlier rollout did is settled now,
 * by the ledgers: later they also have what this one does.
 */
export async function takeOverSuspects(
  db: PlatformDb,
  rolloutId: string,
  ledgers: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const tenantIds = [...ledgers.keys()]
  for (let start = 0; start < tenantIds.length; start += AT_A_TIME) {
    const some = tenantIds.slice(start, start + AT_A_TIME)
    const marks = some.map(() => '?').join(', ')
    const rows = await rowsOf<TenantRow & { rollout_id: string; direction: Direction }>(
      db,
      `select ${TENANT_COLUMNS}, rollouts.id as rollout_id, rollouts.direction
        from rollout_tenants join tenants on tenants.id = rollout_tenants.tenant_id
          join rollouts on rollouts.id = rollout_tenants.rollout_id
        where rollout_tenants.rollout_id <> ? and ${CUT_OFF} and rollout_tenants.tenant_id in (${marks})`,
      [rolloutId, ...some],
    )
    for (const row of rows) {
      const tenant = toTenant(row)
      const done = doneIn(tenant, row.direction, ledgers.get(tenant.tenantId))
      if (done.length === tenant.applied.length) continue
      await affectedBy(
        db,
        'update rollout_tenants set applied = ? where rollout_id = ? and tenant_id = ?',
        [JSON.stringify(done), row.rollout_id, tenant.tenantId],
      )
    }
    await affectedBy(
      db,
      `update rollout_tenants set status = 'left' where rollout_id <> ? and ${CUT_OFF} and tenant_id in (${marks})`,
      [rolloutId, ...some],
    )
  }
}
