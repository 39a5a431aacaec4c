import { changeRole, getMemberByEmail } from '../../../core/identity/change-members.js'
import { toMemberObject } from '../../../core/identity/member-store.js'
import { ROLES } from '../../../core/identity/roles.js'
import { getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const memberRole = (runtime: Runtime) =>
  createCommand({
    name: 'role',
    about: 'give a member another role',
    examples: [['member role ada@example.com admin --tenant acme', 'the last owner stays one']],
  })
    .argument('<email>', 'the member')
    .argument('<role>', ROLES.join(', '))
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(
        runtime,
        async ({ ctx, terminal }, email: string, role: string, options: { tenant: string }) => {
          const tenant = await getTenant(ctx.platform, options.tenant)
          const { userId } = await getMemberByEmail(ctx, tenant.id, email)
          const member = await changeRole(ctx, tenant, { user_id: userId, role })
          await terminal.record(
            toMemberObject(member),
            () => `${member.email} is ${member.role} of ${tenant.slug}`,
          )
        },
      ),
    )
