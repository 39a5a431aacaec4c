import { monthOf } from '../../billing/plan.js'
import {
  hasCurrentSubscription,
  insertCurrentSubscription,
} from '../../billing/subscription-store.js'
import { insertAudit } from '../../events/audit-store.js'
import { newId } from '../../ids.js'
import { onPlatform } from '../on-platform.js'
import type { Stage } from '../stage.js'

/** The tenant's subscription to its plan, from this calendar month on. */
export const initializeSubscription: Stage = {
  name: 'initialize-subscription',
  effect: 'platform',

  check: ({ ctx, tenant }) => hasCurrentSubscription(ctx.platform, tenant.id),

  run: (job) =>
    onPlatform(job, async (transaction, at) => {
      const { start, end } = monthOf(at)
      const subscription = {
        id: newId(),
        tenantId: job.tenant.id,
        planId: job.plan.id,
        status: 'active',
        periodStart: start,
        periodEnd: end,
        createdAt: at,
      } as const
      if (!(await insertCurrentSubscription(transaction, subscription))) return
      await insertAudit(transaction, {
        occurredAt: at,
        actor: job.ctx.actor,
        action: 'subscription.created',
        objectType: 'subscription',
        objectId: subscription.id,
        tenantId: job.tenant.id,
        changes: { after: { plan: job.plan.code } },
      })
    }),
}
