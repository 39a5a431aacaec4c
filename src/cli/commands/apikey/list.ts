import { listApiKeys } from '../../../core/access/api-key-store.js'
import { getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { apiKeyJson, apiKeyStatus } from './shown.js'

const minute = (time: Date | undefined): string =>
  time?.toISOString().slice(0, 16).replace('T', ' ') ?? '-'

export const apiKeyList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: "list a tenant's API keys, never the keys themselves",
    examples: [
      ['apikey list --tenant acme', 'those that live'],
      ['apikey list --tenant acme --all --json', 'also those that have ended, for a script'],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--all', 'also revoked and expired ones')
    .action(
      withContext(
        runtime,
        async ({ ctx, terminal }, { tenant: slug, all }: { tenant: string; all?: true }) => {
          const tenant = await getTenant(ctx.platform, slug)
          const now = ctx.now()
          const keys = (await listApiKeys(ctx.platform, tenant.id)).filter(
            (key) => all || !['revoked', 'expired'].includes(apiKeyStatus(key, now)),
          )
          await terminal.rows(
            keys,
            [
              { title: 'key', value: ({ prefix, lastFour }) => `${prefix}…${lastFour}` },
              { title: 'name', value: ({ name }) => name },
              { title: 'status', value: (key) => apiKeyStatus(key, now) },
              { title: 'created', value: ({ createdAt }) => minute(createdAt) },
              { title: 'last used', value: ({ lastUsedAt }) => minute(lastUsedAt) },
              {
                title: 'ends',
                value: ({ revokedAt, expiresAt }) => minute(revokedAt ?? expiresAt),
              },
            ],
            (key) => apiKeyJson(key, now),
          )
          if (keys.length === 0)
            terminal.remark(
              all
                ? `No keys. "validonx apikey create --tenant ${slug}" makes one.`
                : `No live keys. "validonx apikey create --tenant ${slug}" makes one; --all lists those that have ended.`,
            )
        },
      ),
    )
