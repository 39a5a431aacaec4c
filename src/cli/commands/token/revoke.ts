import { revokeToken } from '../../../core/identity/create-token.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const tokenRevoke = (runtime: Runtime) =>
  createCommand({
    name: 'revoke',
    about: 'end a token; the next request with it is refused',
    examples: [['token revoke 17', 'asks first; --yes does not']],
  })
    .argument('<id>', 'its number, as "token list" shows it')
    .option('--yes', 'do not ask')
    .action(
      withContext(runtime, async ({ ctx, terminal }, id: string, options: { yes?: true }) => {
        if (!options.yes && !(await terminal.confirm(`Revoke token ${id}?`, '--yes')))
          return terminal.note('Nothing was done.')
        const token = await revokeToken(ctx, { id })
        await terminal.record(
          { id: token.id, status: 'revoked' },
          () => `token ${token.id} (${token.name}) has ended`,
        )
      }),
    )
