import { suspendTenant } from '../../../core/tenants/change-status.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'

export const tenantSuspend = (runtime: Runtime) =>
  createCommand({
    name: 'suspend',
    about: 'close a tenant to all its callers; its data stays',
    examples: [
      ['tenant suspend acme --reason "unpaid"', 'asks first'],
      ['tenant suspend acme --yes', 'does not ask'],
    ],
  })
    .argument('<slug>', 'the tenant')
    .option('--reason <text>', 'why, for the record')
    .option('--yes', 'do not ask')
    .action(
      withFleet(
        runtime,
        async ({ ctx, terminal }, slug: string, options: { reason?: string; yes?: true }) => {
          const question = `Close "${slug}" to all its callers?`
          if (!options.yes && !(await terminal.confirm(question, '--yes')))
            return terminal.note('Nothing was done.')
          const tenant = await suspendTenant(ctx, {
            slug,
            ...(options.reason ? { reason: options.reason } : {}),
          })
          await terminal.record(
            { slug: tenant.slug, status: tenant.status },
            () => `${tenant.slug} is ${tenant.status}`,
          )
        },
      ),
    )
