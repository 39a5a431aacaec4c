import type { PlatformDb } from '../db/connect.js'
import type { Lease } from '../db/lease.js'
import { affectedBy, type Bindable } from '../db/statements.js'
import { AppError } from '../errors.js'

export type StageStatus = 'running' | 'done' | 'failed'

export type StageRecord = {
  readonly stage: string
  readonly position: number
  readonly status: StageStatus
  readonly attempts: number
  readonly startedAt: Date
  readonly finishedAt: Date | undefined
  readonly durationMs: number | undefined
  readonly error: string | undefined
}

type Row = {
  stage: string
  position: number
  status: StageStatus
  attempts: number
  started_at: Date
  finished_at: Date | null
  duration_ms: number | null
  error: string | null
}

export async function listStageRecords(db: PlatformDb, tenantId: string): Promise<StageRecord[]> {
  const rows = (await db<Row>('provisioning_stages')
    .select(
      'stage',
      'position',
      'status',
      'attempts',
      'started_at',
      'finished_at',
      'duration_ms',
      'error',
    )
    .where({ tenant_id: tenantId } as object)
    .orderBy('position')) as Row[]
  return rows.map((row) => ({
    stage: row.stage,
    position: row.position,
    status: row.status,
    attempts: row.attempts,
    startedAt: row.started_at,
    finishedAt: row.finished_at ?? undefined,
    durationMs: row.duration_ms ?? undefined,
    error: row.error ?? undefined,
  }))
}

/** One change of a stage's record. `startedNow` counts an attempt. */
export type StageChange = {
  readonly stage: string
  readonly position: number
  readonly status: StageStatus
  readonly startedNow: boolean
  readonly startedAt: Date
  readonly finishedAt?: Date
  readonly durationMs?: number
  readonly error?: string
}

/**
 * Writes changes down in one statement, which finds no row to write where the lease was taken over.
 * In a transaction it also holds off a takeover until the end of it.
 *
 * @throws LEASE.LOST
 */
export async function recordStages(
  db: PlatformDb,
  lease: Lease,
  tenantId: string,
  changes: readonly StageChange[],
): Promise<void> {
  const { name, generation, holder } = lease.claim
  const rows = changes.map(
    (_, index) =>
      `select ${COLUMNS.map((column) => (index === 0 ? `? as ${column}` : '?')).join(', ')}`,
  )
  const values = changes.flatMap((change): Bindable[] => [
    tenantId,
    change.stage,
    change.position,
    change.status,
    change.startedNow ? 1 : 0,
    generation,
    change.startedAt,
    change.finishedAt ?? null,
    change.durationMs ?? null,
    change.error?.slice(0, 1000) ?? null,
  ])
  const written = await affectedBy(
    db,
    `insert into provisioning_stages (${COLUMNS.join(', ')})
      select changes.* from (${rows.join(' union all ')}) changes
        join leases on leases.name = ? and leases.generation = ? and leases.holder = ?
        lock in share mode
      on duplicate key update
        status = values(status),
        attempts = provisioning_stages.attempts + values(attempts),
        generation = values(generation),
        started_at = values(started_at),
        finished_at = values(finished_at),
        duration_ms = values(duration_ms),
        error = values(error)`,
    [...values, name, generation, holder],
  )
  if (written === 0) throw new AppError('LEASE.LOST', name)
}

const COLUMNS = [
  'tenant_id',
  'stage',
  'position',
  'status',
  'attempts',
  'generation',
  'started_at',
  'finished_at',
  'duration_ms',
  'error',
]
