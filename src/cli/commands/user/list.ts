import { listUsers } from '../../../core/identity/user-store.js'
import { createCommand } from '../../command.js'
import { readCount } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'
import { userJson } from './shown.js'

export const userList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: 'list the users',
    examples: [
      ['user list', 'the first 50'],
      ['user list --limit 1000 --json', 'more of them, for a script'],
    ],
  })
    .option('--limit <count>', 'at most so many', '50')
    .option('--after <id>', 'only those after this id, for the next page')
    .action(
      withContext(
        runtime,
        async ({ ctx, terminal }, options: { limit: string; after?: string }) => {
          const users = await listUsers(ctx.platform, {
            limit: readCount(options.limit, '--limit'),
            afterId: options.after && String(readCount(options.after, '--after')),
          })
          await terminal.rows(
            users,
            [
              { title: 'id', value: ({ id }) => id },
              { title: 'e-mail', value: ({ email }) => email },
              { title: 'name', value: ({ name }) => name },
              { title: 'status', value: (user) => userJson(user).status },
              {
                title: 'since',
                value: ({ createdAt }) => createdAt?.toISOString().slice(0, 10) ?? '-',
              },
            ],
            userJson,
          )
          if (users.length === 0)
            terminal.remark(
              options.after
                ? `No users after ${options.after}.`
                : 'No users. "validonx user create" makes one.',
            )
        },
      ),
    )
