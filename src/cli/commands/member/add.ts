import { addMember } from '../../../core/identity/change-members.js'
import { toMemberObject } from '../../../core/identity/member-store.js'
import { ROLES } from '../../../core/identity/roles.js'
import { getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

type Options = { readonly tenant: string; readonly role: string; readonly unverified?: true }

export const memberAdd = (runtime: Runtime) =>
  createCommand({
    name: 'add',
    about: 'let a user into a tenant',
    examples: [['member add ada@example.com --tenant acme --role owner', 'as its owner']],
  })
    .argument('<email>', 'the user')
    .requiredOption('--tenant <slug>', 'the tenant')
    .requiredOption('--role <role>', ROLES.join(', '))
    .option('--unverified', 'also one who came by an invitation, and may be anybody')
    .action(
      withContext(runtime, async ({ ctx, terminal }, email: string, options: Options) => {
        const tenant = await getTenant(ctx.platform, options.tenant)
        const member = await addMember(ctx, tenant, {
          user: email,
          role: options.role,
          unverified: options.unverified === true,
        })
        await terminal.record(
          toMemberObject(member),
          () => `${member.email} is ${member.role} of ${tenant.slug}`,
        )
      }),
    )
