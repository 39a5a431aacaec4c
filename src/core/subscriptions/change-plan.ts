import { z } from 'zod'
import type { EntitlementValue, Plan } from '../billing/plan.js'
import { getPlanByCode, getPlanById } from '../billing/plan-store.js'
import {
  findCurrentSubscription,
  insertSubscriptionChange,
  type Subscription,
  setSubscription,
} from '../billing/subscription-store.js'
import type { Context } from '../context.js'
import type { Executor } from '../db/statements.js'
import { inTransaction } from '../db/transaction.js'
import {
  type Entitlement,
  listEntitlements,
  putPlanEntitlements,
} from '../entitlements/entitlement-store.js'
import {
  countedCodes,
  insertMissingCounters,
  lockTotals,
} from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'
import { recordEvents } from '../events/outbox-store.js'
import { instantSchema, parse } from '../parse.js'
import { assertMatch, type Preconditions } from '../preconditions.js'
import { inPlatformChange } from '../tenants/platform-change.js'
import type { TenantScope } from '../tenants/scope.js'
import { lockTenant, setTenantPlan } from '../tenants/tenant-store.js'
import { countWebhookEndpoints } from '../webhooks/webhook-endpoint-store.js'
import { etagOfSubscription } from './describe-subscription.js'

export const ChangePlanInput = z.strictObject({
  plan: z.string('must be text').max(40, 'must be at most 40 characters').describe('Its code'),
  accept_exceeded: z
    .boolean('must be true or false')
    .describe(
      'Change also where more is in use than the new plan allows; nothing of it is taken away',
    )
    .default(false),
})

/** What an operator may say beside it. */
export const OperatorChangeInput = ChangePlanInput.extend({
  trial_ends_at: instantSchema.optional(),
})

export type EntitlementChange = {
  readonly code: string
  /** Undefined where it is not granted. */
  readonly before: EntitlementValue | undefined
  readonly after: EntitlementValue | undefined
}
export type Exceeded = { readonly code: string; readonly current: number; readonly limit: number }

export type PlanChange = {
  readonly from: Plan
  readonly to: Plan
  readonly entitlements: readonly EntitlementChange[]
  /** What is in use beyond what the new plan allows: it stays, and no more is added. */
  readonly exceeded: readonly Exceeded[]
  /** The subscription as it is now: after the change, or, of a dry run, as before. */
  readonly subscription: Subscription
}

type Options = Preconditions & {
  /** Answers what would change, and changes nothing. */
  readonly dryRun?: boolean
  /** Whether the caller runs the platform, and may choose any plan. */
  readonly isOperator?: boolean
}

/**
 * Subscribes a tenant to another plan, at once: its entitlements follow, overrides stay. To the plan that it
 * has, it makes the entitlements what that plan says, so that a change that was cut off is mended by asking again.
 *
 * @throws PLAN.NOT_FOUND, PLAN.BY_AGREEMENT, SUBSCRIPTION.NOT_FOUND, SUBSCRIPTION.LIMITS_EXCEEDED, REQUEST.PRECONDITION_FAILED
 */
export async function changePlan(
  ctx: Context,
  scope: TenantScope,
  input: unknown,
  { dryRun = false, isOperator = false, idempotencyKey, ifMatch }: Options = {},
): Promise<PlanChange> {
  const wish = isOperator
    ? parse(OperatorChangeInput, input)
    : { ...parse(ChangePlanInput, input), trial_ends_at: undefined }
  const to = await getPlanByCode(ctx.platform, wish.plan)
  if (!to.isOffered && !isOperator) throw new AppError('PLAN.NOT_FOUND', wish.plan, [])
  if (to.priceCents === undefined && !isOperator) throw new AppError('PLAN.BY_AGREEMENT', to.code)
  // of a transaction that is started over, what the first attempt changed in the tenant's database is told
  let done: Planned | undefined
  const tenantId = scope.tenant.id
  const request = {
    operation: 'subscription.change',
    key: dryRun ? undefined : idempotencyKey,
    request: wish,
  }
  const { result } = await inPlatformChange(ctx, tenantId, request, async (transaction) => {
    if (!dryRun) await lockTenant(transaction, tenantId)
    const subscription = await findCurrentSubscription(transaction, tenantId, { lock: !dryRun })
    if (!subscription) throw new AppError('SUBSCRIPTION.NOT_FOUND')
    assertMatch(ifMatch, etagOfSubscription(subscription))
    const from = await getPlanById(transaction, subscription.planId)
    const endpoints = await countWebhookEndpoints(transaction, tenantId)
    if (dryRun) {
      const { changes, exceeded } = await scope.lend((connection) =>
        planOf(connection, to, endpoints),
      )
      return { from, to, entitlements: changes, exceeded, subscription }
    }
    // the tenant's side first: where the platform's then fails, asking again does both
    const applied = await applyPlan(scope, to, endpoints, wish.accept_exceeded)
    done ??= applied
    const { changes, exceeded } = done
    const at = ctx.now()
    const trial = wish.trial_ends_at
    const changed: Subscription = {
      ...subscription,
      planId: to.id,
      ...(trial ? { trialEndsAt: trial, status: trial > at ? 'trialing' : 'active' } : {}),
      updatedAt: at,
    }
    if (from.id !== to.id || trial) {
      await setSubscription(transaction, changed)
      await insertSubscriptionChange(transaction, subscription.id, {
        fromPlanId: from.id,
        toPlanId: to.id,
        trialEndsAt: trial,
        changedAt: at,
      })
      await setTenantPlan(transaction, tenantId, to.id, at)
      await recordAudit(transaction, ctx, tenantId, {
        at,
        action: 'subscription.updated',
        objectType: 'subscription',
        objectId: subscription.id,
        changes: {
          before: { plan: from.code },
          after: { plan: to.code, ...(trial ? { trial_ends_at: trial } : {}) },
        },
      })
    }
    return { from, to, entitlements: changes, exceeded, subscription: changed }
  })
  return result
}

/**
 * Makes a tenant's entitlements what its plan says, where a change was cut off between the two databases.
 *
 * @throws SUBSCRIPTION.NOT_FOUND
 */
export async function reapplyPlan(ctx: Context, scope: TenantScope): Promise<void> {
  await inTransaction(ctx.platform, async (transaction) => {
    await lockTenant(transaction, scope.tenant.id)
    const subscription = await findCurrentSubscription(transaction, scope.tenant.id)
    if (!subscription) throw new AppError('SUBSCRIPTION.NOT_FOUND')
    const endpoints = await countWebhookEndpoints(transaction, scope.tenant.id)
    await applyPlan(scope, await getPlanById(transaction, subscription.planId), endpoints, true)
  })
}

/** Writes what a plan grants into the tenant's database, with an event for each entitlement that changes. */
function applyPlan(
  scope: TenantScope,
  to: Plan,
  endpoints: number,
  acceptExceeded: boolean,
): Promise<Planned> {
  return scope.transaction(async (connection) => {
    const found = await planOf(connection, to, endpoints)
    if (found.exceeded.length > 0 && !acceptExceeded) {
      throw new AppError('SUBSCRIPTION.LIMITS_EXCEEDED', to.code).with({
        exceeded: found.exceeded,
      })
    }
    const at = scope.now()
    await putPlanEntitlements(connection, to.entitlements, at)
    await insertMissingCounters(connection, countedCodes(to.entitlements), at)
    await recordEvents(
      connection,
      scope,
      found.changes.map(({ code, before, after }) => ({
        at,
        action: after === undefined ? 'entitlement.revoked' : 'entitlement.granted',
        objectType: 'entitlement',
        objectId: code,
        changes: { before: { value: before ?? null }, after: { value: after ?? null } },
      })),
    )
    return found
  })
}

type Planned = { readonly changes: EntitlementChange[]; readonly exceeded: Exceeded[] }

/** What another plan means to a tenant, as it stands now. Locks what it counts, inside a transaction. */
async function planOf(db: Executor, to: Plan, endpoints: number): Promise<Planned> {
  const standing = await listEntitlements(db)
  const overridden = new Set(
    standing.filter(({ source }) => source === 'override').map(({ code }) => code),
  )
  const before = new Map<string, EntitlementValue>(
    standing.map((each: Entitlement) => [each.code, each.value]),
  )
  const after = new Map<string, EntitlementValue>([
    ...to.entitlements.map(({ code, value }) => [code, value] as const),
    ...standing
      .filter(({ code }) => overridden.has(code))
      .map(({ code, value }) => [code, value] as const),
  ])
  const codes = [...new Set([...before.keys(), ...after.keys()])].sort()
  const changes = codes
    .map((code) => ({ code, before: before.get(code), after: after.get(code) }))
    .filter((change) => change.before !== change.after)
  const totals = new Map([...(await lockTotals(db)), ['webhook_endpoints.max', endpoints]])
  const exceeded = [...totals].flatMap(([code, current]) => {
    const limit = after.get(code)
    return typeof limit === 'number' && current > limit ? [{ code, current, limit }] : []
  })
  return { changes, exceeded }
}
