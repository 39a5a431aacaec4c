import { assertRetirable } from '../../../core/access/keyring-status.js'
import { renewSecrets } from '../../../core/fleet/renew-secrets.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const keyringRetire = (runtime: Runtime) =>
  createCommand({
    name: 'retire',
    about:
      'move everything that can be moved off an earlier application key; refuses while API keys are left',
    examples: [
      ['keyring retire 3f9c1a7be2d40856', 'then take the key out of VALIDONX_APP_PREVIOUS_KEYS'],
    ],
  })
    .argument('<key id>', 'as "keyring status" shows it')
    .action(
      withContext(runtime, async ({ ctx, terminal }, keyId: string) => {
        const renewed =
          ctx.keyring.has(keyId) && keyId !== ctx.keyring.currentId
            ? await renewSecrets(ctx, keyId)
            : { tenantLogins: 0, webhookSecrets: 0, serverLogins: 0 }
        await assertRetirable(ctx, keyId)
        await terminal.record(
          {
            key_id: keyId,
            tenant_logins: renewed.tenantLogins,
            webhook_secrets: renewed.webhookSecrets,
            retirable: true,
          },
          () =>
            `${renewed.tenantLogins} tenant logins and ${renewed.webhookSecrets} webhook secrets were moved.\nNothing hangs on ${keyId} any more: take it out of VALIDONX_APP_PREVIOUS_KEYS.`,
        )
      }),
    )
