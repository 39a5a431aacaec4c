import { getTenant } from '../../../core/tenants/tenant-store.js'
import { testWebhook } from '../../../core/webhooks/handle-deliveries.js'
import { NOT_PUBLIC } from '../../../core/webhooks/send-delivery.js'
import { anyCaseId, createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

/** Shown if a delivery was refused because of its address. */
export const OPENS_ADDRESSES =
  'Set VALIDONX_WEBHOOK_ALLOW to address ranges of your own network that webhooks may reach.'

export const webhookTest = (runtime: Runtime) =>
  createCommand({
    name: 'test',
    about: 'send an endpoint a signed test event now, and tell what it answered',
    examples: [
      ['webhook test 01a20a16-e903-7073-8d90-840262d70cf5 --tenant acme', 'exit 1 where it fails'],
    ],
  })
    .argument('<id>', 'the endpoint', anyCaseId)
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(runtime, async ({ ctx, terminal }, id: string, options: { tenant: string }) => {
        const tenant = await getTenant(ctx.platform, options.tenant)
        const { sent, milliseconds } = await testWebhook(ctx, tenant.id, id)
        const isTaken = 'status' in sent && sent.status >= 200 && sent.status < 300
        await terminal.record({ taken: isTaken, ...sent, milliseconds }, () =>
          'status' in sent
            ? `answered ${sent.status} after ${milliseconds} ms`
            : `not delivered: ${sent.error}`,
        )
        if ('error' in sent && sent.error === NOT_PUBLIC) terminal.remark(OPENS_ADDRESSES)
        if (!isTaken) runtime.setExit(1)
      }),
    )
