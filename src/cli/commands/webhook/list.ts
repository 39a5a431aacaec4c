import { getTenant } from '../../../core/tenants/tenant-store.js'
import { toWebhookObject } from '../../../core/webhooks/webhook-endpoint.js'
import { listWebhookEndpoints } from '../../../core/webhooks/webhook-endpoint-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const webhookList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: "list a tenant's webhook endpoints, never their secrets",
    examples: [['webhook list --tenant acme', 'with what they are told of']],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: { tenant: string }) => {
        const tenant = await getTenant(ctx.platform, options.tenant)
        const endpoints = await listWebhookEndpoints(ctx.platform, tenant.id, { limit: 1_000 })
        await terminal.rows(
          endpoints,
          [
            { title: 'id', value: ({ id }) => id },
            { title: 'status', value: ({ status }) => status },
            { title: 'url', value: ({ url }) => url },
            { title: 'events', value: ({ events }) => String(events.length) },
          ],
          toWebhookObject,
        )
        if (endpoints.length === 0)
          terminal.remark('No webhook endpoints. POST /v1/tenant/webhooks makes one.')
      }),
    )
