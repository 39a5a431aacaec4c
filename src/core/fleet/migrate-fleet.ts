import { z } from 'zod'
import { tenantMigrations } from '../../../migrations/tenant/index.js'
import type { Context } from '../context.js'
import { type Lease, withLease } from '../db/lease.js'
import { AppError } from '../errors.js'
import { parse } from '../parse.js'
import { getServerById } from '../servers/database-server-store.js'
import { RECONNECT_FOR_MS } from './migrate-tenant.js'
import { planAgain, planRollout, type RolloutPlan, type RolloutWish } from './plan-rollout.js'
import { DEFAULT_TERMS, type Rollout, type RolloutTenantStatus } from './rollout.js'
import { interruptAbandoned, listRollouts, listRolloutTenants } from './rollout-store.js'
import {
  type EarlierAttempt,
  type RolloutEvent,
  type RolloutOutcome,
  runRollout,
} from './run-rollout.js'
import { ensureTemplate } from './template.js'

const whole = (least: number) =>
  z
    .number('must be a whole number')
    .int('must be a whole number')
    .min(least, `must be at least ${least}`)

export const RolloutTermsInput = z.strictObject({
  canary: whole(0).default(DEFAULT_TERMS.canary),
  batchSize: whole(1).default(DEFAULT_TERMS.batchSize),
  concurrency: whole(1).max(64, 'must be at most 64').default(DEFAULT_TERMS.concurrency),
  maxFailures: whole(0).default(DEFAULT_TERMS.maxFailures),
})

/** A new rollout, what the last one left, or what failed in it. */
export type FleetRequest =
  | { readonly kind: 'new'; readonly wish: RolloutWish }
  | { readonly kind: 'resume' }
  | { readonly kind: 'retry failed' }

export type MigrateFleetOptions = {
  readonly terms?: z.input<typeof RolloutTermsInput>
  /** Gets the plan before anything is done. If it returns false, nothing is done. */
  readonly confirm?: (plan: RolloutPlan) => Promise<boolean>
  readonly report?: (event: RolloutEvent) => void
  readonly signal?: AbortSignal
  /** How long to wait for a database server that went away; 30 s by default. */
  readonly reconnectForMs?: number
}

export type FleetMigration = {
  readonly plan: RolloutPlan
  /** Undefined if there was nothing to do, or nothing was confirmed. */
  readonly outcome: RolloutOutcome | undefined
  /** The earlier rollout that this went on with. */
  readonly rollout: Rollout | undefined
}

/**
 * Brings the databases of many tenants to one schema. One process does so at a time, under a lease.
 *
 * @throws LEASE.HELD while another rollout runs; ROLLOUT.NOTHING_TO_RESUME; what `planRollout` and
 *   `runRollout` throw
 */
export async function migrateFleet(
  ctx: Context,
  request: FleetRequest,
  {
    terms: given = {},
    confirm,
    report = () => {},
    signal,
    reconnectForMs = RECONNECT_FOR_MS,
  }: MigrateFleetOptions = {},
): Promise<FleetMigration> {
  const terms = parse(RolloutTermsInput, given)
  return withLease(ctx.platform, 'rollout', ctx.lease, async (lease: Lease) => {
    const earlier = request.kind === 'new' ? undefined : await lastAttempt(ctx, request.kind)
    const plan =
      request.kind === 'new'
        ? await planRollout(ctx, request.wish)
        : await planAgain(ctx, earlier?.rollout as Rollout, earlier?.tenants ?? [])
    const hasWork = plan.tasks.length > 0 || plan.refused.length > 0
    // a rollout that was cut off at its very end still has to be closed
    const isOpen = earlier && earlier.rollout.status !== 'done'
    if (!hasWork && !isOpen) return { plan, outcome: undefined, rollout: earlier?.rollout }
    if (hasWork && confirm && !(await confirm(plan)))
      return { plan, outcome: undefined, rollout: earlier?.rollout }
    // at the same time: until a template is there, a new tenant is made by the migrations themselves
    const templates = prepareTemplates(ctx, plan)
    try {
      const outcome = await runRollout(ctx, plan, {
        terms,
        lease,
        report,
        signal: signal ?? new AbortController().signal,
        reconnectForMs,
        ...(earlier ? { earlier } : {}),
      })
      return { plan, outcome, rollout: earlier?.rollout }
    } finally {
      await templates
    }
  })
}

/**
 * The last rollout, and those of its tenants that it still has to do.
 *
 * @throws ROLLOUT.NOTHING_TO_RESUME; ROLLOUT.NOT_RECORDED for a rollback of an earlier version, which
 *   may have planned to take older migrations from tenants where the newest had failed
 */
async function lastAttempt(ctx: Context, kind: 'resume' | 'retry failed'): Promise<EarlierAttempt> {
  // we hold the lease, so no rollout can be running
  await interruptAbandoned(ctx.platform, ctx.now())
  const [rollout] = await listRollouts(ctx.platform, 1)
  if (!rollout) throw new AppError('ROLLOUT.NOTHING_TO_RESUME')
  if (rollout.direction === 'down' && !rollout.recordsApplied)
    throw new AppError('ROLLOUT.NOT_RECORDED', rollout.id)
  const statuses: RolloutTenantStatus[] =
    kind === 'resume' ? ['pending', 'running'] : ['failed', 'running']
  return { rollout, tenants: await listRolloutTenants(ctx.platform, rollout.id, statuses) }
}

/** A tenant that is provisioned from now on is born at the newest schema. A server without can wait. */
async function prepareTemplates(ctx: Context, plan: RolloutPlan): Promise<void> {
  if (plan.direction === 'down' || plan.target !== tenantMigrations.at(-1)?.name) return
  for (const serverId of new Set(plan.tasks.map((task) => task.serverId))) {
    try {
      await ensureTemplate(ctx, ctx.platform, await getServerById(ctx.platform, serverId))
    } catch (error) {
      ctx.log.debug('the template of a database server could not be built', { serverId, error })
    }
  }
}
