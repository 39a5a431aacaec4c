import { AppError } from '../../../core/errors.js'
import { takeSnapshots } from '../../../core/subscriptions/take-snapshots.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { pageSnapshots, toTotalObject } from '../../../core/usage/read-usage.js'
import type { UsageTotal } from '../../../core/usage/usage-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

type Options = { readonly tenant: string; readonly period?: string }

export const usageSnapshot = (runtime: Runtime) =>
  createCommand({
    name: 'snapshot',
    about: 'write down the usage of a month that has ended, once, and show it',
    examples: [
      ['usage snapshot --tenant acme', 'of last month'],
      ['usage snapshot --tenant acme --period 2026-10 --json', 'of another month, for a script'],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--period <month>', 'the month, such as 2026-10 (default: the last one)')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: Options) => {
        const scope = await enterTenant(ctx, options.tenant)
        const period = monthNamed(options.period, scope.now())
        const added = await takeSnapshots(scope, period)
        const totals: UsageTotal[] = []
        let cursor: string | undefined
        do {
          const page = await pageSnapshots(scope, {
            limit: '100',
            period: period.start.toISOString().slice(0, 7),
            ...(cursor ? { cursor } : {}),
          })
          totals.push(...page.items)
          cursor = page.nextCursor
        } while (cursor)
        await terminal.rows(
          totals,
          [
            { title: 'code', value: ({ code }) => code },
            {
              title: 'license',
              value: ({ subject }) => (subject === 'tenant' ? '(tenant)' : subject),
            },
            { title: 'value', value: ({ value }) => String(value) },
            { title: 'limit', value: ({ limit }) => (limit === undefined ? '-' : String(limit)) },
          ],
          toTotalObject,
        )
        terminal.remark(`${added} written down now, ${totals.length - added} before`)
      }),
    )

/** @throws USAGE.INVALID where it is no month, or one that has not ended */
function monthNamed(text: string | undefined, now: Date): { start: Date; end: Date } {
  const month = (year: number, index: number) => new Date(Date.UTC(year, index, 1))
  const [year, index] =
    text === undefined
      ? [now.getUTCFullYear(), now.getUTCMonth() - 1]
      : /^\d{4}-(0[1-9]|1[0-2])$/.test(text)
        ? [Number(text.slice(0, 4)), Number(text.slice(5)) - 1]
        : [Number.NaN, 0]
  const period = { start: month(year, index), end: month(year, index + 1) }
  if (Number.isNaN(period.start.getTime()))
    throw new AppError('USAGE.INVALID', `--period "${text}" is no month. Write it as 2026-10.`)
  if (period.end > now)
    throw new AppError('USAGE.INVALID', `The month ${text} has not ended. Name an earlier one.`)
  return period
}
