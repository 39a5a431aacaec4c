import { listMembers, toMemberObject } from '../../../core/identity/member-store.js'
import { getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const memberList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: 'list who runs a tenant',
    examples: [['member list --tenant acme', 'with their roles']],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: { tenant: string }) => {
        const tenant = await getTenant(ctx.platform, options.tenant)
        const members = await listMembers(ctx.platform, tenant.id)
        await terminal.rows(
          members,
          [
            { title: 'e-mail', value: ({ email }) => email },
            { title: 'name', value: ({ name }) => name },
            { title: 'role', value: ({ role }) => role },
            { title: 'status', value: (member) => toMemberObject(member).status },
          ],
          toMemberObject,
        )
        if (members.length === 0)
          terminal.remark('No members. "validonx member add" lets a user in.')
      }),
    )
