import { createUser } from '../../../core/identity/create-user.js'
import { createCommand } from '../../command.js'
import { readNewPassword } from '../../read-password.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatFields } from '../../terminal.js'
import { userJson } from './shown.js'

type Options = { readonly name: string; readonly passwordStdin?: true }

export const userCreate = (runtime: Runtime) =>
  createCommand({
    name: 'create',
    about: 'make a user, who logs in with an e-mail address and a password',
    examples: [
      ['user create ada@example.com --name "Ada Lovelace"', 'asks for the password'],
      [
        'user create ada@example.com --name Ada --password-stdin < password.txt',
        'reads it from a file',
      ],
    ],
  })
    .argument('<email>', 'the e-mail address')
    .requiredOption('--name <name>', 'what they are called')
    .option('--password-stdin', 'read the password from standard input')
    .action(
      withContext(runtime, async (session, email: string, options: Options) => {
        const { ctx, terminal } = session
        const password = await readNewPassword(session, options)
        const user = await createUser(ctx, { email, name: options.name, password })
        await terminal.record(userJson(user), () =>
          formatFields([
            ['user', user.email],
            ['name', user.name],
            ['id', user.id],
          ]),
        )
        terminal.remark(
          `\nNext: "validonx member add ${user.email} --tenant <slug> --role owner" lets them into a tenant.`,
        )
      }),
    )
