import { changePlan, type PlanChange } from '../../../core/subscriptions/change-plan.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatTable, type Terminal } from '../../terminal.js'
import { grantText } from '../plan/shown.js'

type Options = {
  readonly tenant: string
  readonly plan: string
  readonly trialUntil?: string
  readonly acceptExceeded?: true
  readonly dryRun?: true
  readonly yes?: true
}

export const subscriptionChange = (runtime: Runtime) =>
  createCommand({
    name: 'change',
    fields: { trial_ends_at: '--trial-until' },
    about: 'subscribe a tenant to another plan, at once; what was agreed on beside it stays',
    examples: [
      ['subscription change --tenant acme --plan pro --dry-run', 'what it would change'],
      ['subscription change --tenant acme --plan pro', 'asks first; --yes does not'],
      [
        'subscription change --tenant acme --plan pro --trial-until 2027-01-31',
        'free of charge until then',
      ],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .requiredOption('--plan <code>', 'the plan')
    .option('--trial-until <time>', 'a trial until then: a date or an RFC 3339 time')
    .option('--accept-exceeded', 'also where more is in use than the plan allows; nothing is taken')
    .option('--dry-run', 'say what would change, and change nothing')
    .option('--yes', 'do not ask')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: Options) => {
        const scope = await enterTenant(ctx, options.tenant)
        const input = {
          plan: options.plan,
          ...(options.acceptExceeded ? { accept_exceeded: true } : {}),
          ...(options.trialUntil ? { trial_ends_at: options.trialUntil } : {}),
        }
        const isOperator = true
        if (options.dryRun || !options.yes) {
          const preview = await changePlan(ctx, scope, input, { dryRun: true, isOperator })
          if (options.dryRun) return show(terminal, preview, true)
          if (terminal.canAsk) terminal.note(textOf(preview))
          const question = `Change "${options.tenant}" from ${preview.from.code} to ${preview.to.code}?`
          if (!(await terminal.confirm(question, '--yes')))
            return terminal.note('Nothing was done.')
        }
        await show(terminal, await changePlan(ctx, scope, input, { isOperator }), false)
      }),
    )

const show = (terminal: Terminal, change: PlanChange, isDryRun: boolean): Promise<void> =>
  terminal.record(
    {
      dry_run: isDryRun,
      from: change.from.code,
      to: change.to.code,
      status: change.subscription.status,
      entitlements: change.entitlements.map(({ code, before, after }) => ({
        code,
        before: before ?? null,
        after: after ?? null,
        granted_before: before !== undefined,
        granted_after: after !== undefined,
      })),
      exceeded: change.exceeded,
    },
    () => textOf(change, isDryRun ? 'would change' : 'changed'),
  )

function textOf({ from, to, entitlements, exceeded }: PlanChange, verb = 'would change'): string {
  const text = (value: Parameters<typeof grantText>[0] | undefined) =>
    value === undefined ? '-' : grantText(value)
  const lines = [`${from.code} → ${to.code}`]
  if (entitlements.length === 0) lines.push(`no entitlement ${verb}`)
  else
    lines.push(
      '',
      formatTable(
        ['entitlement', 'before', 'after'],
        entitlements.map(({ code, before, after }) => [code, text(before), text(after)]),
      ),
    )
  for (const { code, current, limit } of exceeded)
    lines.push(`more in use than allowed: ${code} is ${current} of ${limit}`)
  return lines.join('\n')
}
