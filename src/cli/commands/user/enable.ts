import { enableUser } from '../../../core/identity/disable-user.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { userJson } from './shown.js'

export const userEnable = (runtime: Runtime) =>
  createCommand({
    name: 'enable',
    about: 'open the door again to a user who was disabled',
    examples: [['user enable ada@example.com', 'tokens have to be made anew']],
  })
    .argument('<email>', 'the e-mail address')
    .action(
      withContext(runtime, async ({ ctx, terminal }, email: string) => {
        const user = await enableUser(ctx, { user: email })
        await terminal.record(userJson(user), () => `${user.email} is active`)
      }),
    )
