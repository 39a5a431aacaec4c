import { revokeApiKey } from '../../../core/access/revoke-api-key.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { apiKeyJson } from './shown.js'

export const apiKeyRevoke = (runtime: Runtime) =>
  createCommand({
    name: 'revoke',
    about: 'end an API key for good, everywhere within a second',
    examples: [['apikey revoke vx_H4RQGC --tenant acme', 'asks first; --yes does not']],
  })
    .argument('<key>', 'its id, its prefix or its last four characters')
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--yes', 'do not ask')
    .action(
      withContext(
        runtime,
        async ({ ctx, terminal }, key: string, options: { tenant: string; yes?: true }) => {
          const question = `Revoke API key "${key}" of "${options.tenant}"?`
          if (!options.yes && !(await terminal.confirm(question, '--yes')))
            return terminal.note('Nothing was done.')
          const revoked = await revokeApiKey(ctx, { slug: options.tenant, key })
          await terminal.record(
            apiKeyJson(revoked, ctx.now()),
            () => `${revoked.prefix}…${revoked.lastFour} is revoked`,
          )
        },
      ),
    )
