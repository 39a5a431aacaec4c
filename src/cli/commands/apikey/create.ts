import { API_KEY_SCOPES } from '../../../core/access/api-key.js'
import { createApiKey } from '../../../core/access/create-api-key.js'
import { collect, createCommand } from '../../command.js'
import { readCount, readDuration } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'
import { showMinted } from './shown.js'

type Options = {
  readonly tenant: string
  readonly name: string
  readonly scope?: readonly string[]
  readonly expires?: string
  readonly limit?: string
  readonly period: string
}

export const apiKeyCreate = (runtime: Runtime) =>
  createCommand({
    name: 'create',
    fields: { expiresAt: '--expires', requests: '--limit', periodSeconds: '--period' },
    about: 'make an API key for a tenant and show it, once',
    examples: [
      ['apikey create --tenant acme --name ci', 'a key for everything'],
      [
        'apikey create --tenant acme --name shop --scope licenses --scope activations --expires 2027-12-31',
        'for two groups of endpoints, until a date',
      ],
      [
        'apikey create --tenant acme --name batch --limit 10000 --period 1h',
        'with a rate limit of its own',
      ],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .requiredOption('--name <name>', 'what it is for')
    .option(
      '--scope <group>',
      `only these endpoints: ${API_KEY_SCOPES.join(', ')}; may be repeated`,
      collect,
    )
    .option('--expires <time>', 'a date or an RFC 3339 time')
    .option(
      '--limit <requests>',
      'requests in a period (default: VALIDONX_API_RATE_LIMIT_REQUESTS)',
    )
    .option('--period <time>', 'that period', '1h')
    .action(
      withContext(
        runtime,
        async ({ ctx, terminal }, { tenant, name, scope, expires, limit, period }: Options) => {
          const wish = {
            slug: tenant,
            name,
            ...(scope ? { scopes: scope } : {}),
            ...(expires ? { expiresAt: expires } : {}),
            ...(limit
              ? {
                  rateLimit: {
                    requests: readCount(limit, '--limit'),
                    periodSeconds: readDuration(period, '--period'),
                  },
                }
              : {}),
          }
          await createApiKey(ctx, wish, (minted) => showMinted(terminal, minted, ctx.now()))
        },
      ),
    )
