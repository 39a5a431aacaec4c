import { listTokens } from '../../../core/identity/token-store.js'
import { getUserByEmail } from '../../../core/identity/user-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { tokenJson } from './shown.js'

export const tokenList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: "list a user's tokens",
    examples: [['token list --user ada@example.com', 'never the tokens themselves']],
  })
    .requiredOption('--user <email>', 'whose tokens')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: { user: string }) => {
        const user = await getUserByEmail(ctx.platform, options.user)
        const tokens = await listTokens(ctx.platform, ctx.config.tokenableUser, user.id)
        const date = (time: Date | undefined) => time?.toISOString().slice(0, 16)
        await terminal.rows(
          tokens,
          [
            { title: 'id', value: ({ id }) => id },
            { title: 'name', value: ({ name }) => name },
            { title: 'abilities', value: ({ abilities }) => abilities.join(', ') },
            { title: 'last used', value: ({ lastUsedAt }) => date(lastUsedAt) ?? 'never' },
            { title: 'expires', value: ({ expiresAt }) => date(expiresAt) ?? 'never' },
          ],
          tokenJson,
        )
        if (tokens.length === 0) terminal.remark('No tokens. "validonx token create" makes one.')
      }),
    )
