import { reinstateTenant } from '../../../core/tenants/change-status.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'

export const tenantReinstate = (runtime: Runtime) =>
  createCommand({
    name: 'reinstate',
    about: 'open a suspended tenant again',
    examples: [['tenant reinstate acme', 'its keys work again within a second']],
  })
    .argument('<slug>', 'the tenant')
    .action(
      withFleet(runtime, async ({ ctx, terminal }, slug: string) => {
        const tenant = await reinstateTenant(ctx, { slug })
        await terminal.record(
          { slug: tenant.slug, status: tenant.status },
          () => `${tenant.slug} is ${tenant.status}`,
        )
      }),
    )
