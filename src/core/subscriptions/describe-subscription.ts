import type { Plan } from '../billing/plan.js'
import { getPlanById } from '../billing/plan-store.js'
import { findCurrentSubscription, type Subscription } from '../billing/subscription-store.js'
import type { Context } from '../context.js'
import { AppError } from '../errors.js'
import { etagOfValue } from '../preconditions.js'

export type SubscriptionWithPlan = { readonly subscription: Subscription; readonly plan: Plan }

/** @throws SUBSCRIPTION.NOT_FOUND */
export async function getSubscription(
  ctx: Context,
  tenantId: string,
): Promise<SubscriptionWithPlan> {
  const subscription = await findCurrentSubscription(ctx.platform, tenantId)
  if (!subscription) throw new AppError('SUBSCRIPTION.NOT_FOUND')
  return { subscription, plan: await getPlanById(ctx.platform, subscription.planId) }
}

export const etagOfSubscription = ({ id, planId, status, periodStart }: Subscription): string =>
  etagOfValue([id, planId, status, periodStart])
