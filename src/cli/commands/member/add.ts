import { addMember } from '../../../core/identity/change-members.js'
import { ROLES } from '../../../core/identity/roles.js'
import { getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { memberJson } from './shown.js'

export const memberAdd = (runtime: Runtime) =>
  createCommand({
    name: 'add',
    about: 'let a user into a tenant',
    examples: [['member add ada@example.com --tenant acme --role owner', 'as its owner']],
  })
    .argument('<email>', 'the user')
    .requiredOption('--tenant <slug>', 'the tenant')
    .requiredOption('--role <role>', ROLES.join(', '))
    .action(
      withContext(
        runtime,
        async ({ ctx, terminal }, email: string, options: { tenant: string; role: string }) => {
          const tenant = await getTenant(ctx.platform, options.tenant)
          const member = await addMember(ctx, tenant, { user: email, role: options.role })
          await terminal.record(
            memberJson(member),
            () => `${member.email} is ${member.role} of ${tenant.slug}`,
          )
        },
      ),
    )
