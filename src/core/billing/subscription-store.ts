import type { PlatformDb } from '../db/connect.js'
import { affectedBy, insertRow, rowsOf } from '../db/statements.js'
import { isFailure } from '../driver-failure.js'
import { newId } from '../ids.js'

export const SUBSCRIPTION_STATUSES = ['active', 'trialing', 'past_due', 'cancelled'] as const
export type SubscriptionStatus = (typeof SUBSCRIPTION_STATUSES)[number]

export type Subscription = {
  readonly id: string
  readonly tenantId: string
  readonly planId: string
  readonly status: SubscriptionStatus
  readonly periodStart: Date
  readonly periodEnd: Date
  readonly trialEndsAt?: Date | undefined
  readonly createdAt: Date
  readonly updatedAt: Date
}

type Row = {
  id: string
  tenant_id: string
  plan_id: string
  status: SubscriptionStatus
  current_period_start: Date
  current_period_end: Date
  trial_ends_at: Date | null
  created_at: Date
  updated_at: Date
}

const COLUMNS =
  'id, tenant_id, plan_id, status, current_period_start, current_period_end, trial_ends_at, created_at, updated_at'

const toSubscription = (row: Row): Subscription => ({
  id: row.id,
  tenantId: row.tenant_id,
  planId: row.plan_id,
  status: row.status,
  periodStart: row.current_period_start,
  periodEnd: row.current_period_end,
  trialEndsAt: row.trial_ends_at ?? undefined,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

/** Begins a subscription. Answers false where the tenant has a running one: the unique index decides. */
export async function insertCurrentSubscription(
  db: PlatformDb,
  subscription: Omit<Subscription, 'updatedAt'>,
): Promise<boolean> {
  try {
    await db('subscriptions').insert({
      id: subscription.id,
      tenant_id: subscription.tenantId,
      plan_id: subscription.planId,
      status: subscription.status,
      current_for: subscription.tenantId,
      current_period_start: subscription.periodStart,
      current_period_end: subscription.periodEnd,
      trial_ends_at: subscription.trialEndsAt ?? null,
      created_at: subscription.createdAt,
      updated_at: subscription.createdAt,
    })
    return true
  } catch (error) {
    if (isFailure(error, 'duplicate')) return false
    throw error
  }
}

export const hasCurrentSubscription = async (db: PlatformDb, tenantId: string): Promise<boolean> =>
  (await findCurrentSubscription(db, tenantId)) !== undefined

/** @param lock holds it until the transaction ends */
export async function findCurrentSubscription(
  db: PlatformDb,
  tenantId: string,
  { lock = false }: { readonly lock?: boolean } = {},
): Promise<Subscription | undefined> {
  const [row] = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from subscriptions where current_for = ?${lock ? ' for update' : ''}`,
    [tenantId],
  )
  return row && toSubscription(row)
}

/** Those whose period, or whose trial, has ended by an instant; a page at a time, by id. */
export async function listDueSubscriptions(
  db: PlatformDb,
  asOf: Date,
  { afterId, limit }: { readonly afterId: string; readonly limit: number },
): Promise<Subscription[]> {
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from subscriptions where current_for is not null and status <> 'cancelled' and id > ?
      and (current_period_end <= ? or (status = 'trialing' and trial_ends_at <= ?)) order by id limit ?`,
    [afterId, asOf, asOf, limit],
  )
  return rows.map(toSubscription)
}

export const setSubscription = (db: PlatformDb, subscription: Subscription) =>
  affectedBy(
    db,
    'update subscriptions set plan_id = ?, status = ?, current_period_start = ?, current_period_end = ?, trial_ends_at = ?, updated_at = ? where id = ?',
    [
      subscription.planId,
      subscription.status,
      subscription.periodStart,
      subscription.periodEnd,
      subscription.trialEndsAt ?? null,
      subscription.updatedAt,
      subscription.id,
    ],
  )

/** That a subscription went from one plan to another, or to a trial. */
export type SubscriptionChange = {
  readonly fromPlanId: string
  readonly toPlanId: string
  readonly trialEndsAt: Date | undefined
  readonly changedAt: Date
}

export const insertSubscriptionChange = (
  db: PlatformDb,
  subscriptionId: string,
  change: SubscriptionChange,
): Promise<void> =>
  insertRow(db, 'subscription_changes', {
    id: newId(),
    subscription_id: subscriptionId,
    from_plan_id: change.fromPlanId,
    to_plan_id: change.toPlanId,
    trial_ends_at: change.trialEndsAt ?? null,
    changed_at: change.changedAt,
  })

/** In the order of their making. */
export async function listSubscriptionChanges(
  db: PlatformDb,
  subscriptionId: string,
): Promise<SubscriptionChange[]> {
  const rows = await rowsOf<{
    from_plan_id: string
    to_plan_id: string
    trial_ends_at: Date | null
    changed_at: Date
  }>(
    db,
    'select from_plan_id, to_plan_id, trial_ends_at, changed_at from subscription_changes where subscription_id = ? order by changed_at, id',
    [subscriptionId],
  )
  return rows.map((row) => ({
    fromPlanId: row.from_plan_id,
    toPlanId: row.to_plan_id,
    trialEndsAt: row.trial_ends_at ?? undefined,
    changedAt: row.changed_at,
  }))
}
