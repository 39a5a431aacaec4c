import { setTimeout as sleep } from 'node:timers/promises'
import type { Knex } from 'knex'
import type { Migration } from '../../../migrations/migration.js'
import type { Lease } from '../db/lease.js'
import type { Provisioner } from '../db/provisioner.js'
import { affectedBy } from '../db/statements.js'
import { type FailureKind, isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { endSession, endSessionsIn } from './end-sessions.js'
import { isAsOf, saysAlready } from './expected-changes.js'
import { type Blockers, blockersAtBoth, findBlockers } from './find-blockers.js'
import { findKnexSessions, isKnexLockSet } from './knex-lock.js'
import type { MigrationSession } from './migration-session.js'
import type { Direction, MigrationKind } from './recorded-sql.js'
import { inShort, readSnapshot, type SchemaChange } from './schema-snapshot.js'

/** One migration to do, or to undo. */
export type Step = {
  readonly migration: Migration
  readonly direction: Direction
  readonly kind: MigrationKind
}

/** What one tenant needs. */
export type TenantTask = {
  readonly tenantId: string
  readonly slug: string
  readonly database: string
  readonly serverId: string
  readonly steps: readonly Step[]
  /** The names in its ledger when this was planned. */
  readonly ledger: readonly string[]
  /** The number that Knex's ledger gets for what is applied now. */
  readonly ledgerBatch: number
  /** An earlier run was cut off in this tenant: what its ledger lacks may have been done all the same. */
  readonly isSuspect: boolean
}

/** How far a tenant is, for the record also if it fails. */
export type TenantProgress = {
  /** Names of the steps that were done. */
  readonly done: string[]
  /** Whether the next step may be done without its row in the ledger. */
  isSuspect: boolean
}

/** What migrating a tenant needs of its server and of the rollout. */
export type Site = {
  readonly provisioner: Provisioner
  readonly lease: Lease
  /** Sessions of this rollout on the server, by number. */
  readonly ownSessions: () => Iterable<number>
  /** What a migration does to the schema; found out once for a server. */
  readonly expectedChanges: (migration: Migration) => Promise<readonly SchemaChange[]>
  /** How long to wait for the server if it went away. */
  readonly reconnectForMs: number
  /** Told before each wait. */
  readonly onRetry: (slug: string, why: string) => void
}

const LOCK_TRIES = 6
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 4_000
/** How long to wait for a server that went away: long enough for it to restart. */
export const RECONNECT_FOR_MS = 30_000

/** The connection is of no use any more, or there is none; whether the last statement was done is unknown. */
const GONE: readonly FailureKind[] = [
  'connection lost',
  'unreachable',
  'too many connections',
  'not ready',
]
/** Only waits: the statement was not done. */
const BLOCKED: readonly FailureKind[] = ['statement rolled back', 'transaction rolled back']

/**
 * Does the steps in one tenant's database, each with its row in Knex's ledger, and records them in
 * `progress`. A step whose effect was there before, made by hand, is recorded in the ledger
 * and isn't added: a rollback must not take back what the rollout didn't make.
 * A schema change is one statement, which the server does whole or not at all. If it's unknown whether
 * it was done, the schema decides.
 *
 * @throws MIGRATION.BLOCKED, MIGRATION.HALF_DONE, MIGRATION.KNEX_RUNNING, LEASE.LOST; what the driver
 *   throws otherwise
 */
export async function migrateTenant(
  site: Site,
  session: MigrationSession,
  task: TenantTask,
  progress: TenantProgress,
): Promise<void> {
  let goneSince: number | undefined
  let last: number | undefined
  for (let next = 0; next < task.steps.length; ) {
    site.lease.assertHeld()
    const step = task.steps[next] as Step
    try {
      // a session that we lost may be at work still
      if (last !== undefined) await endOne(site, task, last)
      last = undefined
      // a lock on the marker table blocks the entry too
      const effect = await withLockRetries(site, session, task, step, async () => {
        const db = await session.enter(task)
        goneSince = undefined
        if (next === 0) await assertKnexIsIdle(site, session, db, task)
        return doStep(site, db, task, step, progress.isSuspect)
      })
      if (effect !== 'found' || step.direction === 'down') progress.done.push(step.migration.name)
      // at most one statement was cut off, and this one wasn't
      if (effect === 'run') progress.isSuspect = false
      next += 1
    } catch (error) {
      if (!isFailure(error, ...GONE)) {
        session.cut()
        throw error
      }
      goneSince ??= performance.now()
      if (performance.now() - goneSince > site.reconnectForMs) throw error
      last = session.threadId ?? last
      session.cut()
      progress.isSuspect = true
      site.onRetry(task.slug, 'the connection to its database server was lost')
      await sleep(FIRST_PAUSE_MS + Math.random() * FIRST_PAUSE_MS)
    }
  }
}

const ownSessions = (site: Site, { threadId }: MigrationSession): ReadonlySet<number> =>
  new Set([...site.ownSessions(), ...(threadId === undefined ? [] : [threadId])])

/** @throws MIGRATION.KNEX_RUNNING while Knex's own command may be at work in the database */
async function assertKnexIsIdle(
  site: Site,
  session: MigrationSession,
  db: Knex,
  { slug, database }: TenantTask,
): Promise<void> {
  if (!(await isKnexLockSet(db))) return
  const own = ownSessions(site, session)
  const { sessions, mayLook } = await findKnexSessions(site.provisioner, database, own)
  if (sessions.length > 0 || !mayLook)
    throw new AppError('MIGRATION.KNEX_RUNNING', slug, sessions, mayLook)
}

async function endOne(site: Site, task: TenantTask, thread: number): Promise<void> {
  await endSession(site.provisioner, thread)
  await endSessionsIn(site.provisioner, new Set([task.database]))
}

async function withLockRetries<T>(
  site: Site,
  session: MigrationSession,
  task: TenantTask,
  step: Step,
  work: () => Promise<T>,
): Promise<T> {
  let blockers: Blockers | undefined
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (!isFailure(error, ...BLOCKED)) throw error
      const now = await findBlockers(site.provisioner, task.database, ownSessions(site, session))
      blockers = blockersAtBoth(blockers, now)
      const { sessions, areCertain, mayLook } = blockers
      const names = [...sessions.values()]
      if (attempt === LOCK_TRIES) {
        const { name } = step.migration
        throw new AppError('MIGRATION.BLOCKED', task.slug, name, names, {
          areCertain,
          mayLook,
        }).because(error)
      }
      site.onRetry(
        task.slug,
        `${step.migration.name} waits for ${(areCertain && names[0]) || 'a lock'}`,
      )
      const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1))
      await sleep(pause / 2 + (Math.random() * pause) / 2)
      site.lease.assertHeld()
    }
  }
}

/**
 * `run`: the step was done now. `finished`: an attempt of ours that was cut off had done it. `found`:
 * it was already there.
 */
type Effect = 'run' | 'finished' | 'found'

async function doStep(
  site: Site,
  db: Knex,
  task: TenantTask,
  step: Step,
  isSuspect: boolean,
): Promise<Effect> {
  const { migration, direction, kind } = step
  if (kind === 'data') {
    return db.transaction(async (transaction) => {
      if ((await isRecorded(transaction, migration)) === (direction === 'up'))
        return isSuspect ? 'finished' : 'found'
      await migration[direction](transaction)
      await writeLedger(transaction, task, step)
      return 'run'
    })
  }
  const effect =
    isSuspect && (await isDone(site, task, step))
      ? 'finished'
      : await change(site, db, task, step, isSuspect)
  await writeLedger(db, task, step)
  return effect
}

async function change(
  site: Site,
  db: Knex,
  task: TenantTask,
  step: Step,
  isSuspect: boolean,
): Promise<Effect> {
  try {
    await step.migration[step.direction](db)
    return 'run'
  } catch (error) {
    // "exists already" or "does not exist": perhaps done without its row in the ledger
    if (!saysAlready(error) || !(await isDone(site, task, step))) throw error
    return isSuspect ? 'finished' : 'found'
  }
}

/**
 * Whether the schema has everything that the step makes. No crash of ours leaves a schema between, as
 * the step is one statement: then a person must look.
 *
 * @throws MIGRATION.HALF_DONE
 */
async function isDone(
  { provisioner, expectedChanges }: Site,
  { database, slug }: TenantTask,
  { migration, direction }: Step,
): Promise<boolean> {
  const changes = await expectedChanges(migration)
  const snapshot = await readSnapshot(provisioner, database)
  const [target, origin] =
    direction === 'up' ? (['after', 'before'] as const) : (['before', 'after'] as const)
  if (changes.length > 0 && isAsOf(snapshot, changes, target)) return true
  if (isAsOf(snapshot, changes, origin)) return false
  const differences = changes
    .map(({ object, [target]: before }) => ({ object, before, after: snapshot.get(object) }))
    .filter(({ before, after }) => before !== after)
  const odd: { missing: string[]; extra: string[]; different: string[] } = {
    missing: [],
    extra: [],
    different: [],
  }
  for (const { object, before, after } of inShort(differences)) {
    if (after === undefined) odd.missing.push(object)
    else if (before === undefined) odd.extra.push(object)
    else odd.different.push(`${object} (${after} instead of ${before})`)
  }
  throw new AppError('MIGRATION.HALF_DONE', slug, migration.name, odd)
}

async function isRecorded(db: Knex, { name }: Migration): Promise<boolean> {
  return (await db('knex_migrations').first('id').where({ name })) !== undefined
}

async function writeLedger(db: Knex, task: TenantTask, step: Step): Promise<void> {
  const { name } = step.migration
  if (step.direction === 'down') {
    await affectedBy(db, 'delete from knex_migrations where name = ?', [name])
    return
  }
  await affectedBy(
    db,
    'insert into knex_migrations (name, batch, migration_time) select ?, ?, current_timestamp from dual where not exists (select 1 from knex_migrations where name = ?)',
    [name, task.ledgerBatch, name],
  )
}
