import type { PlatformDb } from '../db/connect.js'
import { isFailure } from '../driver-failure.js'

export type Subscription = {
  readonly id: string
  readonly tenantId: string
  readonly planId: string
  readonly status: 'active' | 'trialing' | 'past_due' | 'cancelled'
  readonly periodStart: Date
  readonly periodEnd: Date
  readonly createdAt: Date
}

/** Begins a subscription. Answers false where the tenant has a running one: the unique index decides. */
export async function insertCurrentSubscription(
  db: PlatformDb,
  subscription: Subscription,
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
      created_at: subscription.createdAt,
      updated_at: subscription.createdAt,
    })
    return true
  } catch (error) {
    if (isFailure(error, 'duplicate')) return false
    throw error
  }
}

export async function hasCurrentSubscription(db: PlatformDb, tenantId: string): Promise<boolean> {
  return (await db('subscriptions').first('id').where({ current_for: tenantId })) !== undefined
}
