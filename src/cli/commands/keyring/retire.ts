import { retireAppKey } from '../../../core/platform/retire-app-key.js'
import { maySeeRuntimeSessions } from '../../../core/platform/runtime-logins.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const keyringRetire = (runtime: Runtime) =>
  createCommand({
    name: 'retire',
    about:
      'move everything that can be moved off an earlier application key and drop its runtime login; refuses while API keys or processes still need it',
    examples: [
      ['keyring retire 3f9c1a7be2d40856', 'then take the key out of VALIDONX_APP_PREVIOUS_KEYS'],
    ],
  })
    .argument('<key id>', 'as "keyring status" shows it')
    .option('--yes', "retire it even if this login can't see whether processes still need it")
    .action(
      withContext(runtime, async ({ ctx, terminal }, keyId: string, { yes }: { yes?: true }) => {
        const question =
          "The provisioner's login lacks the PROCESS privilege, so open sessions of the key's runtime login can't be seen. Drop that login?"
        if (!yes && !(await maySeeRuntimeSessions(ctx)))
          if (!(await terminal.confirm(question, '--yes')))
            return terminal.note('Nothing was done.')
        const { tenantLogins, webhookSecrets, serverLogins } = await retireAppKey(ctx, keyId)
        const moved = {
          tenant_logins: tenantLogins,
          webhook_secrets: webhookSecrets,
          server_logins: serverLogins,
        }
        await terminal.record({ key_id: keyId, ...moved, retirable: true }, () =>
          [
            `Moved: ${tenantLogins} tenant logins, ${webhookSecrets} webhook secrets, ${serverLogins} logins of database servers.`,
            'Its runtime login is dropped.',
            `Nothing depends on ${keyId} any more: take it out of VALIDONX_APP_PREVIOUS_KEYS.`,
          ].join('\n'),
        )
      }),
    )
