import {
  type Dependent,
  keyringStatus,
  listDependents,
} from '../../../core/access/keyring-status.js'
import { createCommand } from '../../command.js'
import { readCount } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'

export const keyringStatusCommand = (runtime: Runtime) =>
  createCommand({
    name: 'status',
    about: 'show what still depends on each application key; for earlier keys, list the tenants',
    examples: [
      ['keyring status', 'before an earlier key is taken out of VALIDONX_APP_PREVIOUS_KEYS'],
      [
        'keyring status --json | jq -r \'.dependents[] | select(.kind == "api key") | .tenant\' | sort -u',
        'the tenants whose API keys were not used since the change of key',
      ],
    ],
  })
    .option(
      '--limit <rows>',
      'dependents of each earlier key to list (default 20; all with --json)',
    )
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: { limit?: string }) => {
        const wanted = options.limit === undefined ? undefined : readCount(options.limit, '--limit')
        const limit = wanted ?? 20
        const keys = await keyringStatus(ctx)
        const dependents = new Map<string, Dependent[]>()
        for (const { keyId, role } of keys)
          if (role !== 'current') dependents.set(keyId, await listDependents(ctx, keyId))
        await terminal.rows(
          keys,
          [
            { title: 'key', value: ({ keyId }) => keyId },
            { title: 'role', value: ({ role }) => role },
            { title: 'api keys', value: ({ apiKeys }) => String(apiKeys) },
            { title: 'tenants', value: ({ tenantLogins }) => String(tenantLogins) },
            { title: 'webhooks', value: ({ webhookSecrets }) => String(webhookSecrets) },
            { title: 'servers', value: ({ serverLogins }) => String(serverLogins ?? '?') },
            { title: 'chain', value: ({ auditKeys }) => String(auditKeys) },
            { title: 'runtime', value: ({ runtimeLogins }) => String(runtimeLogins) },
          ],
          ({ keyId, role, ...counts }) => ({
            key_id: keyId,
            role,
            api_keys: counts.apiKeys,
            tenant_logins: counts.tenantLogins,
            webhook_secrets: counts.webhookSecrets,
            server_logins: counts.serverLogins ?? null,
            audit_keys: counts.auditKeys,
            runtime_logins: counts.runtimeLogins,
            dependents: dependents.get(keyId)?.slice(0, wanted).map(dependentJson) ?? [],
          }),
        )
        if (terminal.json) return
        for (const { keyId, role } of keys) {
          const own = dependents.get(keyId) ?? []
          if (own.length === 0) continue
          await terminal.result(
            `\nstill on ${keyId}${role === 'unknown' ? ', which is not configured, so these cannot be used' : ''}:`,
          )
          await terminal.rows(
            own.slice(0, limit),
            [
              { title: 'tenant', value: ({ tenant }) => tenant },
              { title: 'what', value: ({ kind }) => kind },
              { title: 'name', value: ({ name }) => name },
              {
                title: 'last used',
                value: ({ kind, lastUsedAt }) =>
                  kind === 'api key' ? (lastUsedAt?.toISOString().slice(0, 16) ?? 'never') : '-',
              },
            ],
            dependentJson,
          )
          if (own.length > limit)
            terminal.note(`${limit} of ${own.length}: --limit ${own.length} lists all.`)
        }
      }),
    )

const dependentJson = ({ kind, tenant, id, name, lastUsedAt }: Dependent) => ({
  kind,
  tenant,
  id,
  name,
  last_used_at: lastUsedAt ?? null,
})
