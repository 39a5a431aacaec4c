import { z } from 'zod'
import {
  type Invoice,
  invoiceLines,
  periodAfter,
  type Segment,
  segmentsOf,
  statusOf,
} from '../billing/invoice.js'
import { insertInvoice, nextInvoiceNumber } from '../billing/invoice-store.js'
import type { Plan } from '../billing/plan.js'
import { getPlanById } from '../billing/plan-store.js'
import {
  findCurrentSubscription,
  listDueSubscriptions,
  listSubscriptionChanges,
  type Subscription,
  setSubscription,
} from '../billing/subscription-store.js'
import { addMilliseconds } from '../clock.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { type Lease, withLease } from '../db/lease.js'
import { inTransaction } from '../db/transaction.js'
import { listEntitlements } from '../entitlements/entitlement-store.js'
import { AppError, asAppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'
import { newId } from '../ids.js'
import { instantSchema, parse } from '../parse.js'
import { placeOf, TenantScope } from '../tenants/scope.js'
import type { Tenant } from '../tenants/tenant.js'
import { findTenantById } from '../tenants/tenant-store.js'
import { reapplyPlan } from './change-plan.js'
import { takeSnapshots, usageOf } from './take-snapshots.js'

const AT_A_TIME = 100
const DAYS_TO_PAY = 14
const DAY_MS = 86_400_000
/** Reports of the period's last moments may still be on their way to the database. */
const SETTLING_MS = 60_000

export const RunBillingInput = z.strictObject({
  /** Closes what has ended by then; now where absent. */
  as_of: instantSchema.optional(),
})

export type BillingStep =
  | { readonly what: 'invoice'; readonly slug: string; readonly invoice: Invoice }
  | { readonly what: 'trial ended'; readonly slug: string }
  | { readonly what: 'failed'; readonly slug: string; readonly error: AppError }

export type BillingRun = {
  readonly invoices: number
  readonly trials: number
  readonly failed: number
}

/**
 * Closes the periods that have ended: usage is written down, invoiced with the plan, and the next period
 * begins; ended trials become what they were a trial of. Safe in cron: one run at a time holds the lease, a
 * period has one invoice, and a run that was cut off is finished by the next. One tenant's failure stops no other.
 *
 * @throws LEASE.HELD while another run is at work
 */
export async function runBilling(
  ctx: Context,
  input: unknown,
  report: (step: BillingStep) => void,
  signal?: AbortSignal,
): Promise<BillingRun> {
  const { as_of } = parse(RunBillingInput, input)
  const asOf = as_of ?? addMilliseconds(ctx.now(), -SETTLING_MS)
  const run = { invoices: 0, trials: 0, failed: 0 }
  await withLease(ctx.platform, 'billing', ctx.lease, async (lease) => {
    let afterId = ''
    for (;;) {
      const due = await listDueSubscriptions(ctx.platform, asOf, { afterId, limit: AT_A_TIME })
      for (const subscription of due) {
        if (signal?.aborted) return
        await bring(ctx, lease, subscription, asOf, (step) => {
          if (step.what === 'invoice') run.invoices += 1
          else if (step.what === 'trial ended') run.trials += 1
          else run.failed += 1
          report(step)
        })
      }
      const last = due.at(-1)
      if (!last) return
      afterId = last.id
    }
  })
  return run
}

/** Closes period after period until the subscription's own is not over yet. */
async function bring(
  ctx: Context,
  lease: Lease,
  due: Subscription,
  asOf: Date,
  report: (step: BillingStep) => void,
): Promise<void> {
  const tenant = await findTenantById(ctx.platform, due.tenantId)
  // one that was never opened has used nothing, and one that is gone pays nothing
  if (!tenant || !['active', 'suspended'].includes(tenant.status)) return
  try {
    // a change of plan that was cut off between the two databases is finished here at the latest
    await reapplyPlan(ctx, scopeOf(ctx, tenant))
    let subscription: Subscription | undefined = due
    while (subscription && subscription.periodEnd <= asOf) {
      const invoice = await closePeriod(ctx, lease, tenant, subscription)
      if (invoice) report({ what: 'invoice', slug: tenant.slug, invoice })
      subscription = await findCurrentSubscription(ctx.platform, tenant.id)
    }
    if (await endTrial(ctx, lease, tenant, asOf)) report({ what: 'trial ended', slug: tenant.slug })
  } catch (error) {
    if (error instanceof AppError && error.code === 'LEASE.LOST') throw error
    report({ what: 'failed', slug: tenant.slug, error: asAppError(error) })
  }
}

/** Suspended tenants are billed too. */
const scopeOf = (ctx: Context, tenant: Tenant): TenantScope => {
  ctx.touched.set(tenant.id, placeOf(tenant))
  return new TenantScope(ctx.tenantDatabases, placeOf(tenant), ctx.actor, ctx.now)
}

/** Undefined where somebody has closed it meanwhile. */
async function closePeriod(
  ctx: Context,
  lease: Lease,
  tenant: Tenant,
  seen: Subscription,
): Promise<Invoice | undefined> {
  const scope = scopeOf(ctx, tenant)
  const period = { start: seen.periodStart, end: seen.periodEnd }
  await takeSnapshots(scope, period, { isClosing: true })
  const usage = await usageOf(scope, period)
  const granted = new Map(
    (await listEntitlements(scope.db)).map(({ code, value }) => [code, value]),
  )
  return inTransaction(ctx.platform, async (transaction) => {
    await lease.fence(transaction)
    const subscription = await findCurrentSubscription(transaction, tenant.id, { lock: true })
    if (!subscription || subscription.periodStart.getTime() !== period.start.getTime()) return
    const changes = await listSubscriptionChanges(transaction, subscription.id)
    const segments = segmentsOf(subscription, changes, period)
    const plans = await plansOf(transaction, segments)
    const plan = plans.get(segments.at(-1)?.planId ?? '')
    const at = ctx.now()
    const lines = invoiceLines(segments, plans, granted, usage)
    const totalCents = lines.reduce((sum, { amountCents }) => sum + amountCents, 0)
    const status = statusOf(plans.values(), totalCents)
    const invoice: Invoice = {
      id: newId(),
      tenantId: tenant.id,
      subscriptionId: subscription.id,
      number: await nextInvoiceNumber(transaction, at),
      status,
      periodStart: period.start,
      periodEnd: period.end,
      currency: plan?.currency ?? 'USD',
      totalCents,
      issuedAt: at,
      dueAt: status === 'open' ? addMilliseconds(at, DAYS_TO_PAY * DAY_MS) : undefined,
      paidAt: status === 'paid' ? at : undefined,
      lines,
    }
    await insertInvoice(transaction, invoice)
    const next = periodAfter(period.end)
    await setSubscription(transaction, {
      ...subscription,
      periodStart: next.start,
      periodEnd: next.end,
      updatedAt: at,
    })
    await recordAudit(transaction, ctx, tenant.id, {
      at,
      action: 'invoice.issued',
      objectType: 'invoice',
      objectId: invoice.id,
      changes: {
        after: {
          number: invoice.number,
          plan: plan?.code ?? null,
          total_cents: totalCents,
          period_start: period.start,
          next_period_end: next.end,
        },
      },
    })
    return invoice
  })
}

async function plansOf(
  transaction: PlatformDb,
  segments: readonly Segment[],
): Promise<Map<string, Plan>> {
  const plans = new Map<string, Plan>()
  for (const { planId } of segments)
    if (!plans.has(planId)) plans.set(planId, await getPlanById(transaction, planId))
  return plans
}

async function endTrial(ctx: Context, lease: Lease, tenant: Tenant, asOf: Date): Promise<boolean> {
  return inTransaction(ctx.platform, async (transaction) => {
    await lease.fence(transaction)
    const subscription = await findCurrentSubscription(transaction, tenant.id, { lock: true })
    const trialEnd = subscription?.trialEndsAt
    if (subscription?.status !== 'trialing' || !trialEnd || trialEnd > asOf) return false
    const at = ctx.now()
    await setSubscription(transaction, { ...subscription, status: 'active', updatedAt: at })
    await recordAudit(transaction, ctx, tenant.id, {
      at,
      action: 'subscription.updated',
      objectType: 'subscription',
      objectId: subscription.id,
      changes: { before: { status: 'trialing' }, after: { status: 'active' } },
    })
    return true
  })
}
