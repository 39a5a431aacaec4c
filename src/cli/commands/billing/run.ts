import { toInvoiceObject } from '../../../core/billing/invoice.js'
import { type BillingStep, runBilling } from '../../../core/subscriptions/run-billing.js'
import { createCommand } from '../../command.js'
import { readTime } from '../../durations.js'
import { type Runtime, withFleet } from '../../runtime.js'
import { periodText } from '../invoice/shown.js'
import { money } from '../plan/shown.js'

type Options = { readonly asOf?: string; readonly yes?: true }

export const billingRun = (runtime: Runtime) =>
  createCommand({
    name: 'run',
    about: 'close the periods that have ended: usage, invoices, the next period, ended trials',
    examples: [
      ['billing run', 'safe in cron: a period is closed once'],
      ['billing run --as-of 2026-12-01', 'what has ended by then; asks where that is to come'],
    ],
  })
    .option('--as-of <time>', 'close what has ended by then: a date or an RFC 3339 time')
    .option('--yes', 'do not ask where that time is still to come')
    .action(
      withFleet(runtime, async ({ ctx, terminal, signal }, options: Options) => {
        if (options.asOf !== undefined && readTime(options.asOf, '--as-of') > ctx.now()) {
          const question = `${options.asOf} is still to come: what is used until then would be on no invoice. Close the periods all the same?`
          if (!options.yes && !(await terminal.confirm(question, '--yes')))
            return terminal.note('Nothing was done.')
        }
        const steps: BillingStep[] = []
        const run = await runBilling(
          ctx,
          options.asOf === undefined ? {} : { as_of: options.asOf },
          (step) => {
            steps.push(step)
            terminal.live(`${steps.length} done, now ${step.slug} …`)
          },
          signal,
        )
        await terminal.rows(
          steps,
          [
            { title: 'tenant', value: ({ slug }) => slug },
            { title: 'what', value: whatText },
            {
              title: 'period',
              value: (step) => (step.what === 'invoice' ? periodText(step.invoice) : '-'),
            },
            {
              title: 'total',
              value: (step) =>
                step.what === 'invoice'
                  ? money(step.invoice.totalCents, step.invoice.currency)
                  : '-',
            },
          ],
          stepJson,
        )
        terminal.remark(
          `invoices: ${run.invoices}, trials ended: ${run.trials}, tenants failed: ${run.failed}`,
        )
        if (run.failed > 0) runtime.setExit(1)
        else if (signal.aborted) runtime.setExit(130)
      }),
    )

function whatText(step: BillingStep): string {
  if (step.what === 'invoice') return `${step.invoice.number} (${step.invoice.status})`
  if (step.what !== 'failed') return step.what
  const { message, cliHint, code } = step.error
  return `${[message, cliHint].filter(Boolean).join(' ')} [${code}]`
}

function stepJson(step: BillingStep) {
  if (step.what === 'invoice')
    return { event: 'invoice', tenant: step.slug, ...toInvoiceObject(step.invoice) }
  if (step.what === 'failed') {
    const { code, message } = step.error
    return { event: 'failed', tenant: step.slug, error: { code, message } }
  }
  return { event: 'trial_ended', tenant: step.slug }
}
