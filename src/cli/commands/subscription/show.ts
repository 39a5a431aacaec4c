import { listEntitlements } from '../../../core/entitlements/entitlement-store.js'
import { getSubscription } from '../../../core/subscriptions/describe-subscription.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatFields } from '../../terminal.js'
import { grantText, money } from '../plan/shown.js'

export const subscriptionShow = (runtime: Runtime) =>
  createCommand({
    name: 'show',
    about: "show a tenant's subscription and what it is granted",
    examples: [['subscription show --tenant acme', 'with what was agreed on beside the plan']],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: { tenant: string }) => {
        const scope = await enterTenant(ctx, options.tenant)
        const { subscription, plan } = await getSubscription(ctx, scope.tenant.id)
        const granted = await listEntitlements(scope.db)
        await terminal.record(
          {
            id: subscription.id,
            tenant: scope.tenant.slug,
            plan: plan.code,
            status: subscription.status,
            current_period_start: subscription.periodStart,
            current_period_end: subscription.periodEnd,
            trial_ends_at: subscription.trialEndsAt ?? null,
            entitlements: granted,
          },
          () =>
            formatFields([
              ['plan', `${plan.name} (${plan.code})`],
              ['price a month', money(plan.priceCents, plan.currency)],
              ['status', subscription.status],
              [
                'period',
                `${subscription.periodStart.toISOString().slice(0, 10)} to ${subscription.periodEnd.toISOString().slice(0, 10)}`,
              ],
              ['trial ends', subscription.trialEndsAt?.toISOString()],
              ...granted.map(({ code, value, source }): [string, string] => [
                code,
                source === 'override' ? `${grantText(value)} (agreed on)` : grantText(value),
              ]),
            ]),
        )
      }),
    )
