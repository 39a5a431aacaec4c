import { disableUser } from '../../../core/identity/disable-user.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { userJson } from './shown.js'

export const userDisable = (runtime: Runtime) =>
  createCommand({
    name: 'disable',
    about: 'close the door to a user: no login, and all tokens end',
    examples: [
      ['user disable ada@example.com', 'asks first'],
      ['user disable ada@example.com --yes', 'does not ask'],
    ],
  })
    .argument('<email>', 'the e-mail address')
    .option('--yes', 'do not ask')
    .action(
      withContext(runtime, async ({ ctx, terminal }, email: string, options: { yes?: true }) => {
        const question = `Disable "${email}" and end all their tokens?`
        if (!options.yes && !(await terminal.confirm(question, '--yes')))
          return terminal.note('Nothing was done.')
        const { user, tokensRevoked } = await disableUser(ctx, { user: email })
        await terminal.record(
          { ...userJson(user), tokens_revoked: tokensRevoked },
          () => `${user.email} is disabled; tokens ended: ${tokensRevoked}`,
        )
      }),
    )
