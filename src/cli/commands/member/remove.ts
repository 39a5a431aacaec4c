import { getMemberByEmail, removeMember } from '../../../core/identity/change-members.js'
import { getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

type Options = { readonly tenant: string; readonly yes?: true }

export const memberRemove = (runtime: Runtime) =>
  createCommand({
    name: 'remove',
    about: 'end a membership; the user stays',
    examples: [['member remove ada@example.com --tenant acme', 'asks first; --yes does not']],
  })
    .argument('<email>', 'the member')
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--yes', 'do not ask')
    .action(
      withContext(runtime, async ({ ctx, terminal }, email: string, options: Options) => {
        const tenant = await getTenant(ctx.platform, options.tenant)
        const { userId } = await getMemberByEmail(ctx, tenant.id, email)
        const question = `Remove "${email}" from "${tenant.slug}"?`
        if (!options.yes && !(await terminal.confirm(question, '--yes')))
          return terminal.note('Nothing was done.')
        const member = await removeMember(ctx, tenant, { user_id: userId })
        await terminal.record(
          { user_id: member.userId, email: member.email, status: 'removed' },
          () => `${member.email} is no longer in ${tenant.slug}`,
        )
      }),
    )
