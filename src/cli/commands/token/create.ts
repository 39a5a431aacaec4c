import { createToken } from '../../../core/identity/create-token.js'
import { TOKEN_ABILITIES } from '../../../core/identity/token.js'
import { collect, createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatFields } from '../../terminal.js'
import { tokenJson } from './shown.js'

type Options = {
  readonly user: string
  readonly name?: string
  readonly ability?: readonly string[]
  readonly expires?: string
}

export const tokenCreate = (runtime: Runtime) =>
  createCommand({
    name: 'create',
    fields: { expires_at: '--expires' },
    about: 'make a token of a user for the Tenant API and show it, once',
    examples: [
      ['token create --user ada@example.com --name ci', 'for the tenants that Ada runs'],
      ['token create --user ada@example.com --expires 2027-12-31', 'until a date'],
    ],
  })
    .requiredOption('--user <email>', 'whose token it is')
    .option('--name <name>', 'what it is for')
    .option(
      '--ability <ability>',
      `what it opens: ${TOKEN_ABILITIES.join(', ')} (default: tenant); may be repeated`,
      collect,
    )
    .option('--expires <time>', 'a date or an RFC 3339 time')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: Options) => {
        const wish = {
          user: options.user,
          ...(options.name ? { name: options.name } : {}),
          ...(options.ability ? { abilities: options.ability } : {}),
          ...(options.expires ? { expires_at: options.expires } : {}),
        }
        await createToken(ctx, wish, ({ token, plainText }) =>
          terminal.secret('token', { ...tokenJson(token), token: plainText }, () =>
            formatFields([
              ['token', plainText],
              ['name', token.name],
              ['abilities', token.abilities.join(', ')],
              ['expires', token.expiresAt?.toISOString() ?? 'never'],
            ]),
          ),
        )
        terminal.remark('\nThe token is shown this once.')
      }),
    )
