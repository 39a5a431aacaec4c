import { getTenant } from '../../../core/tenants/tenant-store.js'
import { DELIVERY_STATUSES } from '../../../core/webhooks/delivery.js'
import { redeliver } from '../../../core/webhooks/handle-deliveries.js'
import { anyCaseId, createCommand } from '../../command.js'
import { readPast } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'

type Options = { readonly tenant: string; readonly status?: string; readonly since?: string }

export const webhookRedeliver = (runtime: Runtime) =>
  createCommand({
    name: 'redeliver',
    about: 'send an endpoint again what did not arrive; "serve" does it',
    examples: [
      ['webhook redeliver 01a20a16-e903-7073-8d90-840262d70cf5 --tenant acme', 'what was given up'],
      [
        'webhook redeliver 01a20a16-e903-7073-8d90-840262d70cf5 --tenant acme --status delivered --since 1h',
        'what arrived in the last hour, once more',
      ],
    ],
  })
    .argument('<id>', 'the endpoint', anyCaseId)
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--status <status>', `those that are ${DELIVERY_STATUSES.join(', ')} (default: failed)`)
    .option('--since <time>', 'only of events since: 1h, a date or an RFC 3339 time')
    .action(
      withContext(runtime, async ({ ctx, terminal }, id: string, options: Options) => {
        const tenant = await getTenant(ctx.platform, options.tenant)
        const { result } = await redeliver(ctx, tenant.id, id, {
          ...(options.status ? { status: options.status } : {}),
          ...(options.since
            ? { since: readPast(options.since, '--since', ctx.now()).toISOString() }
            : {}),
        })
        await terminal.record({ deliveries: result }, () => `deliveries on their way: ${result}`)
      }),
    )
