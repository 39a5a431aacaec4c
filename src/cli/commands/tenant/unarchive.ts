import { unarchiveTenant } from '../../../core/fleet/unarchive-tenant.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'

export const tenantUnarchive = (runtime: Runtime) =>
  createCommand({
    name: 'unarchive',
    about: 'take an archived tenant back into the fleet, suspended, if its database is there',
    examples: [['tenant unarchive acme', 'then migrate it, look at its health, and reinstate it']],
  })
    .argument('<slug>', 'the tenant')
    .option('--reason <text>', 'reason to store in the audit trail')
    .action(
      withFleet(runtime, async ({ ctx, terminal }, slug: string, options: { reason?: string }) => {
        const tenant = await unarchiveTenant(ctx, { slug, reason: options.reason })
        await terminal.record(
          { slug: tenant.slug, status: tenant.status },
          () => `${tenant.slug} is ${tenant.status}`,
        )
        terminal.remark(
          [
            '',
            'Next, as it may have missed migrations:',
            `  validonx tenant migrate ${slug}`,
            `  validonx tenant health ${slug}`,
            `  validonx tenant reinstate ${slug}`,
          ].join('\n'),
        )
      }),
    )
