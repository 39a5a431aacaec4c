import { changePassword } from '../../../core/identity/change-password.js'
import { createCommand } from '../../command.js'
import { readNewPassword } from '../../read-password.js'
import { type Runtime, withContext } from '../../runtime.js'
import { userJson } from './shown.js'

export const userPassword = (runtime: Runtime) =>
  createCommand({
    name: 'password',
    about: 'give a user another password; all their tokens end',
    examples: [['user password ada@example.com', 'asks for it']],
  })
    .argument('<email>', 'the e-mail address')
    .option('--password-stdin', 'read the password from standard input')
    .action(
      withContext(runtime, async (session, email: string, options: { passwordStdin?: true }) => {
        const { ctx, terminal } = session
        const password = await readNewPassword(session, options)
        const { user, tokensRevoked } = await changePassword(ctx, { user: email, password })
        await terminal.record(
          { ...userJson(user), tokens_revoked: tokensRevoked },
          () => `${user.email} has a new password; tokens ended: ${tokensRevoked}`,
        )
      }),
    )
