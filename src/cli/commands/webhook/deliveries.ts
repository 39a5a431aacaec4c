import { getTenant } from '../../../core/tenants/tenant-store.js'
import { DELIVERY_STATUSES, toDeliveryObject } from '../../../core/webhooks/delivery.js'
import { pageDeliveries } from '../../../core/webhooks/handle-deliveries.js'
import { NOT_PUBLIC } from '../../../core/webhooks/send-delivery.js'
import { anyCaseId, createCommand } from '../../command.js'
import { readCount, readPast } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'
import { OPENS_ADDRESSES } from './test.js'

type Options = {
  readonly tenant: string
  readonly status?: string
  readonly since?: string
  readonly limit: string
  readonly cursor?: string
}

export const webhookDeliveries = (runtime: Runtime) =>
  createCommand({
    name: 'deliveries',
    about: 'list what went, or goes, to an endpoint, newest first',
    examples: [
      [
        'webhook deliveries 01a20a16-e903-7073-8d90-840262d70cf5 --tenant acme --status failed',
        'what was given up',
      ],
    ],
  })
    .argument('<id>', 'the endpoint', anyCaseId)
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--status <status>', `only those that are ${DELIVERY_STATUSES.join(', ')}`)
    .option('--since <time>', 'only of events since: 1h, a date or an RFC 3339 time')
    .option('--limit <count>', 'so many of the newest, 100 at the most', '50')
    .option('--cursor <cursor>', 'on from where another list ended')
    .action(
      withContext(runtime, async ({ ctx, terminal }, id: string, options: Options) => {
        const tenant = await getTenant(ctx.platform, options.tenant)
        const { items, nextCursor } = await pageDeliveries(ctx, tenant.id, id, {
          limit: String(readCount(options.limit, '--limit', 1, 100)),
          ...(options.cursor ? { cursor: options.cursor } : {}),
          ...(options.status ? { status: options.status } : {}),
          ...(options.since
            ? { since: readPast(options.since, '--since', ctx.now()).toISOString() }
            : {}),
        })
        await terminal.rows(
          items,
          [
            { title: 'event', value: ({ eventType }) => eventType },
            { title: 'status', value: ({ status }) => status },
            { title: 'attempts', value: ({ attempts }) => String(attempts) },
            {
              title: 'next',
              value: ({ nextAttemptAt }) => nextAttemptAt?.toISOString().slice(0, 19) ?? '-',
            },
            {
              title: 'answer',
              value: ({ responseStatus, lastError }) =>
                lastError ?? (responseStatus === undefined ? '-' : String(responseStatus)),
            },
          ],
          toDeliveryObject,
        )
        if (items.length === 0)
          terminal.remark(
            options.status || options.since
              ? 'No delivery matches.'
              : 'Nothing has been sent to this endpoint yet.',
          )
        if (items.some(({ lastError }) => lastError === NOT_PUBLIC))
          terminal.remark(OPENS_ADDRESSES)
        if (nextCursor) terminal.remark(`More with: --cursor ${nextCursor}`)
      }),
    )
