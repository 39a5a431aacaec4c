import type { PlatformDb } from '../db/connect.js'
import { AppError } from '../errors.js'
import type { Ledger } from './ledger.js'
import { doneIn, isCutOff, type Rollout } from './rollout.js'
import { getRollout, listRollouts, listRolloutTenants } from './rollout-store.js'

const AT_A_TIME = 20

type Ledgers = ReadonlyMap<string, Ledger | AppError>

/** A rollout, and what is left of it to take back. */
export type Undoable = {
  readonly rollout: Rollout
  /** By tenant id: migrations that this rollout applied and that no later rollout has touched since. */
  readonly applied: ReadonlyMap<string, ReadonlySet<string>>
}

/**
 * Finds the rollout with this id, or the last one that was not taken back. Goes through the rollouts
 * from the newest to the oldest: a migration that a later rollout applied or took back in a tenant
 * doesn't count for an earlier one. A rollout that applied nothing is returned too, so that a rollback
 * never hits the one before it by mistake.
 *
 * @throws ROLLOUT.NOT_FOUND, ROLLOUT.IS_ROLLBACK; ROLLOUT.NOT_RECORDED if a rollout of an earlier
 *   version is in the way
 */
export async function findUndoable(
  db: PlatformDb,
  ledgers: Ledgers,
  id: string | undefined,
): Promise<Undoable | undefined> {
  const wanted = id === undefined ? undefined : await getRollout(db, id)
  if (wanted?.direction === 'down') throw new AppError('ROLLOUT.IS_ROLLBACK', wanted.id)
  const settled = new Map<string, Set<string>>()
  for (let offset = 0; ; offset += AT_A_TIME) {
    const page = await listRollouts(db, AT_A_TIME, offset)
    for (const rollout of page) {
      if (!rollout.recordsApplied) throw new AppError('ROLLOUT.NOT_RECORDED', rollout.id)
      const { applied, isTakenBack } = await appliedBy(db, rollout, ledgers, settled)
      if (rollout.direction === 'down') continue
      if (wanted ? wanted.id === rollout.id : !isTakenBack) return { rollout, applied }
    }
    if (page.length < AT_A_TIME) return undefined
  }
}

/** Adds what this rollout did to `settled`, so that it doesn't count for earlier ones. */
async function appliedBy(
  db: PlatformDb,
  rollout: Rollout,
  ledgers: Ledgers,
  settled: Map<string, Set<string>>,
): Promise<{ applied: Map<string, Set<string>>; isTakenBack: boolean }> {
  const applied = new Map<string, Set<string>>()
  let someAreGone = false
  let someAreHeld = false
  for (const tenant of await listRolloutTenants(db, rollout.id)) {
    const ledger = ledgers.get(tenant.tenantId)
    const has = ledger instanceof AppError ? undefined : ledger?.applied
    const later = settled.get(tenant.tenantId) ?? new Set()
    settled.set(tenant.tenantId, later)
    const done = [...doneIn(tenant, rollout.direction, has)]
    if (rollout.direction === 'up' && has && isCutOff(tenant)) {
      // its statement may be done without its row in the ledger
      const next = tenant.planned.find((name) => !has.includes(name))
      if (next !== undefined) done.push(next)
    }
    const own = done.filter((name) => !later.has(name))
    someAreGone ||= own.length < done.length
    someAreHeld ||= own.length > 0 && mayHold(own, ledger, isCutOff(tenant))
    if (own.length > 0) applied.set(tenant.tenantId, new Set(own))
    for (const name of own) later.add(name)
  }
  return { applied, isTakenBack: someAreGone && !someAreHeld }
}

/** A database that is gone holds nothing; one that can't be read at the moment may. */
function mayHold(
  names: readonly string[],
  ledger: Ledger | AppError | undefined,
  isCutOff: boolean,
): boolean {
  if (ledger === undefined) return false
  if (ledger instanceof AppError) return ledger.code !== 'TENANT.DATABASE_MISSING'
  return isCutOff || names.some((name) => ledger.applied.includes(name))
}
