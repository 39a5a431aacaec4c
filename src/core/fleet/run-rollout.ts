import { tenantMigrations } from '../../../migrations/tenant/index.js'
import type { Context } from '../context.js'
import type { Lease } from '../db/lease.js'
import { inTransaction } from '../db/transaction.js'
import { isFailure } from '../driver-failure.js'
import { type AppError, asAppError } from '../errors.js'
import { insertAudit } from '../events/audit-store.js'
import { newId } from '../ids.js'
import { getServerById } from '../servers/database-server-store.js'
import { endSessionsIn } from './end-sessions.js'
import { findExpectedChanges } from './expected-changes.js'
import { migrateTenant, type Site, type TenantProgress, type TenantTask } from './migrate-tenant.js'
import { MigrationSession } from './migration-session.js'
import { groupByServer, type RolloutPlan } from './plan-rollout.js'
import {
  doneIn,
  isCutOff,
  type Rollout,
  type RolloutStatus,
  type RolloutTenant,
  type RolloutTerms,
} from './rollout.js'
import { RolloutJournal } from './rollout-journal.js'
import {
  countByStatus,
  insertRollout,
  insertRolloutTenants,
  interruptAbandoned,
  listRolloutTenants,
  markRunning,
  recordPlans,
  recordResults,
  setRolloutStatus,
  takeOverSuspects,
} from './rollout-store.js'
import type { SchemaChange } from './schema-snapshot.js'

/** Told of all that happens, as it happens. Times are in milliseconds. */
export type RolloutEvent =
  | {
      readonly type: 'batch'
      readonly batch: number
      readonly of: number
      readonly tenants: number
    }
  | { readonly type: 'started'; readonly tenant: string }
  | { readonly type: 'retry'; readonly tenant: string; readonly why: string }
  | {
      readonly type: 'done'
      readonly tenant: string
      readonly applied: readonly string[]
      readonly durationMs: number
    }
  | {
      readonly type: 'failed'
      readonly tenant: string
      readonly error: AppError
      readonly durationMs: number
    }

export type RolloutOutcome = {
  readonly rolloutId: string
  readonly status: RolloutStatus
  /** Tenants brought to the target by this run, those that failed, and those that were not begun. */
  readonly done: number
  readonly failed: number
  readonly left: number
  /** Tenants that failed in an earlier attempt at the same rollout, and that this run didn't try. */
  readonly failedEarlier: readonly RolloutTenant[]
  readonly durationMs: number
}

/** An earlier rollout to go on with, and what it recorded for the tenants that it still has to do. */
export type EarlierAttempt = {
  readonly rollout: Rollout
  readonly tenants: readonly RolloutTenant[]
}

export type RunOptions = {
  readonly terms: RolloutTerms
  readonly lease: Lease
  readonly report: (event: RolloutEvent) => void
  /** Once aborted, what runs is finished and nothing more is begun. */
  readonly signal: AbortSignal
  /** How long to wait for a database server that went away. */
  readonly reconnectForMs: number
  /** Without it a new rollout is recorded. */
  readonly earlier?: EarlierAttempt
}

/**
 * Carries a plan out: the canary first, then batch after batch, so many tenants at once on each server,
 * and every server beside the others. A tenant's failure stops nobody else in its batch; too many stop
 * the rollout between two batches. Each tenant is written down as begun before anything is done to it,
 * so that whoever comes after a crash knows where to look.
 *
 * @throws LEASE.LOST; what the driver throws where the platform database is away for long
 */
export async function runRollout(
  ctx: Context,
  plan: RolloutPlan,
  options: RunOptions,
): Promise<RolloutOutcome> {
  const start = performance.now()
  const run = new Run(ctx, plan, options, await record(ctx, plan, options))
  try {
    const status = await run.allBatches()
    await setRolloutStatus(ctx.platform, run.rolloutId, status, ctx.now())
    return await run.outcome(status, performance.now() - start)
  } finally {
    run.close()
  }
}

class Run {
  readonly rolloutId: string
  readonly #ctx: Context
  readonly #options: RunOptions
  readonly #batches: readonly (readonly TenantTask[])[]
  readonly #tasks: number
  readonly #refused: number
  readonly #sites = new Map<string, Promise<Site>>()
  readonly #sessions = new Map<string, MigrationSession[]>()
  /** Servers that did not come back in time: their tenants fail at once from then on. */
  readonly #dead = new Map<string, AppError>()
  readonly #journal: RolloutJournal
  /** By tenant id: what earlier attempts at this rollout did. */
  readonly #appliedEarlier: ReadonlyMap<string, readonly string[]>
  readonly #tried: ReadonlySet<string>
  #done = 0
  #failed = 0
  /** Failures that count against the budget: a dead server counts once. */
  #spent = 0

  constructor(ctx: Context, plan: RolloutPlan, options: RunOptions, rolloutId: string) {
    this.rolloutId = rolloutId
    this.#ctx = ctx
    this.#options = options
    this.#batches = batchesOf(plan.tasks, options.terms)
    this.#tasks = plan.tasks.length
    this.#refused = plan.refused.length
    this.#appliedEarlier = appliedEarlier(plan, options.earlier)
    this.#tried = new Set([
      ...plan.tasks.map(({ tenantId }) => tenantId),
      ...plan.refused.map(({ tenant }) => tenant.id),
    ])
    this.#journal = new RolloutJournal(ctx.platform, rolloutId)
  }

  async allBatches(): Promise<RolloutStatus> {
    const { terms, signal, report } = this.#options
    await this.#endSessionsOfTheDead()
    for (const [index, tasks] of this.#batches.entries()) {
      if (signal.aborted) return 'interrupted'
      this.#options.lease.assertHeld()
      report({ type: 'batch', batch: index + 1, of: this.#batches.length, tenants: tasks.length })
      await markRunning(
        this.#ctx.platform,
        this.rolloutId,
        tasks.map(({ tenantId }) => tenantId),
        this.#ctx.now(),
      )
      await this.#oneBatch(tasks)
      const isCanary = index === 0 && terms.canary > 0
      const isLast = index === this.#batches.length - 1
      const isSpent = this.#spent > terms.maxFailures || (isCanary && this.#failed > 0)
      if (isSpent && !isLast) return 'stopped'
    }
    const counts = await countByStatus(this.#ctx.platform, this.rolloutId)
    if ((counts.pending ?? 0) + (counts.running ?? 0) > 0) return 'interrupted'
    return (counts.failed ?? 0) > 0 ? 'failed' : 'done'
  }

  async outcome(status: RolloutStatus, durationMs: number): Promise<RolloutOutcome> {
    const failed = this.#options.earlier
      ? await listRolloutTenants(this.#ctx.platform, this.rolloutId, ['failed'])
      : []
    return {
      rolloutId: this.rolloutId,
      status,
      done: this.#done,
      failed: this.#failed + this.#refused,
      left: this.#tasks - this.#done - this.#failed,
      failedEarlier: failed.filter(({ tenantId }) => !this.#tried.has(tenantId)),
      durationMs: Math.round(durationMs),
    }
  }

  close(): void {
    for (const session of [...this.#sessions.values()].flat()) session.cut()
  }

  async #oneBatch(tasks: readonly TenantTask[]): Promise<void> {
    const { signal, terms } = this.#options
    const notBegun: TenantTask[] = []
    await Promise.all(
      [...groupByServer(tasks)].map(async ([serverId, own]) => {
        const queue = [...own]
        const worker = async (index: number): Promise<void> => {
          for (let task = queue.shift(); task; task = queue.shift()) {
            if (signal.aborted) notBegun.push(task)
            else await this.#oneTenant(serverId, index, task)
          }
        }
        await Promise.all(Array.from({ length: terms.concurrency }, (_, index) => worker(index)))
      }),
    )
    for (const { tenantId } of notBegun) {
      this.#journal.add({
        tenantId,
        status: 'pending',
        applied: this.#appliedEarlier.get(tenantId) ?? [],
        finishedAt: this.#ctx.now(),
      })
    }
    await this.#journal.flush()
  }

  async #oneTenant(serverId: string, worker: number, task: TenantTask): Promise<void> {
    const { report, lease } = this.#options
    const { slug, tenantId } = task
    report({ type: 'started', tenant: slug })
    const start = performance.now()
    const elapsed = () => Math.round(performance.now() - start)
    const progress: TenantProgress = { done: [], isSuspect: task.isSuspect }
    const finish = (error?: AppError) =>
      this.#journal.add({
        tenantId,
        status: error ? 'failed' : 'done',
        cutOff: error !== undefined && progress.isSuspect,
        applied: [...(this.#appliedEarlier.get(tenantId) ?? []), ...progress.done],
        finishedAt: this.#ctx.now(),
        ...failureOf(error),
      })
    try {
      lease.assertHeld()
      const dead = this.#dead.get(serverId)
      if (dead) throw dead
      const site = await this.#site(serverId)
      await migrateTenant(site, this.#session(serverId, worker, site), task, progress)
      finish()
      this.#done += 1
      report({ type: 'done', tenant: slug, applied: progress.done, durationMs: elapsed() })
    } catch (thrown) {
      const error = asAppError(thrown)
      if (error.code === 'LEASE.LOST') throw error
      this.#countFailure(serverId, thrown, error)
      finish(error)
      report({ type: 'failed', tenant: slug, error, durationMs: elapsed() })
    }
  }

  #countFailure(serverId: string, thrown: unknown, error: AppError): void {
    this.#failed += 1
    if (this.#dead.has(serverId)) return
    this.#spent += 1
    if (isFailure(thrown, 'connection lost', 'unreachable', 'access denied'))
      this.#dead.set(serverId, error)
  }

  #session(serverId: string, worker: number, { provisioner }: Site): MigrationSession {
    const sessions = this.#sessions.get(serverId) ?? []
    this.#sessions.set(serverId, sessions)
    sessions[worker] ??= new MigrationSession(provisioner.reach, this.#ctx.log)
    return sessions[worker]
  }

  #site(serverId: string): Promise<Site> {
    const known = this.#sites.get(serverId) ?? this.#openSite(serverId)
    this.#sites.set(serverId, known)
    known.catch(() => this.#sites.delete(serverId))
    return known
  }

  async #openSite(serverId: string): Promise<Site> {
    const { lease, report } = this.#options
    const server = await getServerById(this.#ctx.platform, serverId)
    const provisioner = await this.#ctx.provisioner(server)
    const changes = new Map<string, Promise<readonly SchemaChange[]>>()
    return {
      provisioner,
      lease,
      ownSessions: () => [
        ...provisioner.threads,
        ...(this.#sessions.get(serverId) ?? []).flatMap(({ threadId }) => threadId ?? []),
      ],
      expectedChanges: ({ name }) => {
        const known =
          changes.get(name) ??
          findExpectedChanges(provisioner, this.#ctx.config.tenantPrefix, tenantMigrations, name)
        changes.set(name, known)
        known.catch(() => changes.delete(name))
        return known
      },
      reconnectForMs: this.#options.reconnectForMs,
      onRetry: (tenant, why) => report({ type: 'retry', tenant, why }),
    }
  }

  /** What an earlier process sent may be at work still, and would race with us. */
  async #endSessionsOfTheDead(): Promise<void> {
    const suspects = this.#batches.flat().filter(({ isSuspect }) => isSuspect)
    await Promise.all(
      [...groupByServer(suspects)].map(async ([serverId, own]) => {
        try {
          const { provisioner } = await this.#site(serverId)
          await endSessionsIn(provisioner, new Set(own.map(({ database }) => database)))
        } catch (error) {
          // its tenants will say so, each for itself
          this.#ctx.log.debug('a database server could not be asked for its sessions', { error })
        }
      }),
    )
  }
}

/** The canary alone, then the rest in equal batches. */
export function batchesOf<T>(
  tasks: readonly T[],
  { canary, batchSize }: Pick<RolloutTerms, 'canary' | 'batchSize'>,
): T[][] {
  const batches: T[][] = []
  // a canary that is the whole fleet warns nobody
  const first = canary < tasks.length ? canary : 0
  if (first > 0) batches.push(tasks.slice(0, first))
  for (let start = first; start < tasks.length; start += batchSize)
    batches.push(tasks.slice(start, start + batchSize))
  return batches
}

/**
 * An error as an operator reads it, with what to do about it. Of an unexpected one, what the server
 * said, which quotes no value of a statement.
 */
export function reasonOf(error: AppError): string {
  const said = (error.cause as { sqlMessage?: unknown } | undefined)?.sqlMessage
  if (error.code === 'SERVER.INTERNAL' && typeof said === 'string') return said
  if (error.code === 'SERVER.INTERNAL' && error.cause instanceof Error) return error.cause.message
  return error.cliHint === undefined ? error.message : `${error.message} ${error.cliHint}`
}

const failureOf = (error: AppError | undefined) =>
  error ? { errorCode: error.code, error: reasonOf(error) } : {}

/** By tenant id: what earlier attempts at the rollout did, also those that were cut off. */
function appliedEarlier(
  plan: RolloutPlan,
  earlier: EarlierAttempt | undefined,
): Map<string, readonly string[]> {
  const ledgers = new Map([
    ...plan.tasks.map(({ tenantId, ledger }) => [tenantId, ledger] as const),
    ...plan.leftAlone.map(({ tenant, ledger }) => [tenant.id, ledger] as const),
  ])
  return new Map(
    earlier?.tenants.map((tenant) => [
      tenant.tenantId,
      doneIn(tenant, plan.direction, ledgers.get(tenant.tenantId)),
    ]),
  )
}

/** Records the rollout before it begins. A new one takes over the suspects of earlier ones. */
async function record(ctx: Context, plan: RolloutPlan, options: RunOptions): Promise<string> {
  await interruptAbandoned(ctx.platform, ctx.now())
  return options.earlier ? recordAgain(ctx, plan, options.earlier) : recordNew(ctx, plan, options)
}

async function recordAgain(
  ctx: Context,
  plan: RolloutPlan,
  earlier: EarlierAttempt,
): Promise<string> {
  const { id } = earlier.rollout
  const at = ctx.now()
  const applied = appliedEarlier(plan, earlier)
  const plannedThen = new Map(earlier.tenants.map(({ tenantId, planned }) => [tenantId, planned]))
  const cutOff = new Set(earlier.tenants.filter(isCutOff).map(({ tenantId }) => tenantId))
  await setRolloutStatus(ctx.platform, id, 'running', at)
  await recordPlans(
    ctx.platform,
    id,
    plan.tasks.map(({ tenantId, steps }) => {
      const then = plannedThen.get(tenantId) ?? []
      const planned = then.length > 0 ? then : steps.map(({ migration }) => migration.name)
      return { tenantId, planned, applied: applied.get(tenantId) ?? [] }
    }),
  )
  await recordResults(ctx.platform, id, [
    ...plan.refused.map(({ tenant, error }) => ({
      tenantId: tenant.id,
      status: 'failed' as const,
      cutOff: cutOff.has(tenant.id),
      applied: applied.get(tenant.id) ?? [],
      finishedAt: at,
      ...failureOf(error),
    })),
    // done, but its process died before it recorded that
    ...plan.leftAlone.map(({ tenant }) => ({
      tenantId: tenant.id,
      status: 'done' as const,
      applied: applied.get(tenant.id) ?? [],
      finishedAt: at,
    })),
  ])
  return id
}

async function recordNew(
  ctx: Context,
  plan: RolloutPlan,
  { terms, lease }: RunOptions,
): Promise<string> {
  const id = newId()
  const at = ctx.now()
  const batches = batchesOf(plan.tasks, terms)
  const undoes = plan.undoes?.id
  await inTransaction(ctx.platform, async (transaction) => {
    await lease.fence(transaction)
    await insertRollout(transaction, {
      ...terms,
      id,
      direction: plan.direction,
      target: plan.target,
      undoes,
      status: 'running',
      tenants: plan.tasks.length + plan.refused.length,
      startedBy: ctx.actor.name,
      startedAt: at,
      finishedAt: undefined,
    })
    await insertRolloutTenants(transaction, id, [
      ...batches.flatMap((tasks, index) =>
        tasks.map(({ tenantId, steps, isSuspect }) => ({
          tenantId,
          batch: index + 1,
          status: isSuspect ? ('running' as const) : ('pending' as const),
          planned: steps.map(({ migration }) => migration.name),
        })),
      ),
      ...plan.refused.map(({ tenant, error }) => ({
        tenantId: tenant.id,
        batch: 0,
        status: 'failed' as const,
        planned: [],
        ...failureOf(error),
      })),
    ])
    const suspects = plan.tasks.filter(({ isSuspect }) => isSuspect)
    await takeOverSuspects(
      transaction,
      id,
      new Map(suspects.map(({ tenantId, ledger }) => [tenantId, ledger])),
    )
    await insertAudit(transaction, {
      occurredAt: at,
      actor: ctx.actor,
      action: 'rollout.started',
      objectType: 'rollout',
      objectId: id,
      tenantId: null,
      changes: {
        after: {
          direction: plan.direction,
          ...(plan.target === undefined ? {} : { target: plan.target }),
          ...(undoes === undefined ? {} : { undoes }),
          tenants: plan.tasks.length,
        },
      },
    })
  })
  return id
}
