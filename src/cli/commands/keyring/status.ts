import { keyringStatus } from '../../../core/access/keyring-status.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const keyringStatusCommand = (runtime: Runtime) =>
  createCommand({
    name: 'status',
    about: 'show what hangs on each application key',
    examples: [
      ['keyring status', 'before an earlier key is taken out of VALIDONX_APP_PREVIOUS_KEYS'],
    ],
  }).action(
    withContext(runtime, async ({ ctx, terminal }) => {
      await terminal.rows(
        await keyringStatus(ctx),
        [
          { title: 'key', value: ({ keyId }) => keyId },
          { title: 'role', value: ({ role }) => role },
          { title: 'api keys', value: ({ apiKeys }) => String(apiKeys) },
          { title: 'tenant logins', value: ({ tenantLogins }) => String(tenantLogins) },
          { title: 'webhook secrets', value: ({ webhookSecrets }) => String(webhookSecrets) },
          { title: 'chain keys', value: ({ auditKeys }) => String(auditKeys) },
        ],
        ({ keyId, role, apiKeys, tenantLogins, webhookSecrets, auditKeys }) => ({
          key_id: keyId,
          role,
          api_keys: apiKeys,
          tenant_logins: tenantLogins,
          webhook_secrets: webhookSecrets,
          audit_keys: auditKeys,
        }),
      )
    }),
  )
