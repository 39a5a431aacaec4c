import { archiveTenant } from '../../../core/tenants/change-status.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'

type Options = { readonly reason?: string; readonly yes?: true }

export const tenantArchive = (runtime: Runtime) =>
  createCommand({
    name: 'archive',
    about: 'take a tenant out of the fleet: closed, not migrated, not billed; its records stay',
    examples: [
      ['tenant archive acme --reason "contract ended"', 'asks for confirmation'],
      ['tenant archive acme --yes', 'one whose database is lost can be archived too'],
    ],
  })
    .argument('<slug>', 'the tenant')
    .option('--reason <text>', 'reason to store in the audit trail')
    .option('--yes', "don't ask for confirmation")
    .action(
      withFleet(runtime, async ({ ctx, terminal }, slug: string, { reason, yes }: Options) => {
        const question = `Archive "${slug}"? Its API keys and members are refused from then on.`
        if (!yes && !(await terminal.confirm(question, '--yes')))
          return terminal.note('Nothing was done.')
        const tenant = await archiveTenant(ctx, { slug, reason })
        await terminal.record(
          { slug: tenant.slug, status: tenant.status },
          () => `${tenant.slug} is ${tenant.status}`,
        )
        terminal.remark(
          `Its database "${tenant.database}" and its user are left as they are. "validonx tenant unarchive ${slug}" takes it back.`,
        )
      }),
    )
