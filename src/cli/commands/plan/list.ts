import { listPlans } from '../../../core/billing/plan-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { grantText, money, planJson } from './shown.js'

export const planList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: 'list the plans',
    examples: [['plan list', 'what tenants may subscribe to']],
  }).action(
    withContext(runtime, async ({ ctx, terminal }) => {
      const plans = await listPlans(ctx.platform)
      const granted = (code: string) => (plan: (typeof plans)[number]) =>
        grantText(plan.entitlements.find((each) => each.code === code)?.value ?? null)
      await terminal.rows(
        plans,
        [
          { title: 'code', value: ({ code }) => code },
          { title: 'price a month', value: (plan) => money(plan.priceCents, plan.currency) },
          { title: 'products', value: granted('products.max') },
          { title: 'licenses', value: granted('licenses.max') },
          { title: 'activations', value: granted('activations.total') },
        ],
        planJson,
      )
    }),
  )
