import { getPlanByCode } from '../../../core/billing/plan-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatFields } from '../../terminal.js'
import { grantText, money, planJson } from './shown.js'

export const planShow = (runtime: Runtime) =>
  createCommand({
    name: 'show',
    about: 'show a plan and what it grants',
    examples: [['plan show pro', 'by its code']],
  })
    .argument('<code>', 'the plan')
    .action(
      withContext(runtime, async ({ ctx, terminal }, code: string) => {
        const plan = await getPlanByCode(ctx.platform, code)
        await terminal.record(planJson(plan), () =>
          formatFields([
            ['plan', plan.name],
            ['price a month', money(plan.priceCents, plan.currency)],
            ...plan.entitlements.map(({ code: each, value }): [string, string] => [
              each,
              grantText(value),
            ]),
          ]),
        )
      }),
    )
