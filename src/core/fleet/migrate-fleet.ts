import { z } from 'zod'
import { tenantMigrations } from '../../../migrations/tenant/index.js'
import type { Context } from '../context.js'
import { type Lease, withLease } from '../db/lease.js'
import { AppError } from '../errors.js'
import { parse } from '../parse.js'
import { getServerById } from '../servers/database-server-store.js'
import { planAgain, planRollout, type RolloutPlan, type RolloutWish } from './plan-rollout.js'
import { DEFAULT_TERMS, type Rollout, type RolloutTenantStatus } from './rollout.js'
import { interruptAbandoned, listRollouts, listRolloutTenants } from './rollout-store.js'
import { type RolloutEvent, type RolloutOutcome, runRollout } from './run-rollout.js'
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

/** A new rollout, what the last one has left, or what failed in it. */
export type FleetRequest =
  | { readonly kind: 'new'; readonly wish: RolloutWish }
  | { readonly kind: 'resume' }
  | { readonly kind: 'retry failed' }

export type MigrateFleetOptions = {
  readonly terms?: z.input<typeof RolloutTermsInput>
  /** Told the plan before anything is done; where it answers false, nothing is. */
  readonly confirm?: (plan: RolloutPlan) => Promise<boolean>
  readonly report?: (event: RolloutEvent) => void
  readonly signal?: AbortSignal
}

export type FleetMigration = {
  readonly plan: RolloutPlan
  /** Undefined where nothing was to be done, or nothing was confirmed. */
  readonly outcome: RolloutOutcome | undefined
}

/**
 * Brings the databases of many tenants to one schema. One process does so at a time, under a lease.
 *
 * @throws LEASE.HELD where another rollout is under way; ROLLOUT.NOT_FOUND where there is none to go on
 *   with; what `planRollout` and `runRollout` throw
 */
export async function migrateFleet(
  ctx: Context,
  request: FleetRequest,
  { terms: given = {}, confirm, report = () => {}, signal }: MigrateFleetOptions = {},
): Promise<FleetMigration> {
  const terms = parse(RolloutTermsInput, given)
  return withLease(ctx.platform, 'rollout', ctx.lease, async (lease: Lease) => {
    const rollout = request.kind === 'new' ? undefined : await lastRollout(ctx)
    const plan = await makePlan(ctx, request, rollout)
    if (plan.tasks.length === 0 && plan.refused.length === 0) return { plan, outcome: undefined }
    if (confirm && !(await confirm(plan))) return { plan, outcome: undefined }
    // beside the rollout: until it is there, a new tenant is made by the migrations themselves
    const templates = prepareTemplates(ctx, plan)
    try {
      const outcome = await runRollout(ctx, plan, {
        terms,
        lease,
        report,
        signal: signal ?? new AbortController().signal,
        ...(rollout ? { rollout } : {}),
      })
      return { plan, outcome }
    } finally {
      await templates
    }
  })
}

async function makePlan(
  ctx: Context,
  request: FleetRequest,
  rollout: Rollout | undefined,
): Promise<RolloutPlan> {
  if (request.kind === 'new') return planRollout(ctx, request.wish)
  const { id, direction, target } = rollout as Rollout
  const statuses: RolloutTenantStatus[] =
    request.kind === 'resume' ? ['pending', 'running'] : ['failed', 'running']
  return planAgain(ctx, direction, target, await listRolloutTenants(ctx.platform, id, statuses))
}

/** @throws ROLLOUT.NOT_FOUND */
async function lastRollout(ctx: Context): Promise<Rollout> {
  // we hold the lease, so that one that says it is running is not
  await interruptAbandoned(ctx.platform, ctx.now())
  const [last] = await listRollouts(ctx.platform, 1)
  if (!last) throw new AppError('ROLLOUT.NOT_FOUND', 'to go on with')
  return last
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
