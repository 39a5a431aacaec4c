import { revokeActivation } from '../../../core/licensing/revoke-activation.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { anyCaseId, createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'

export const activationRevoke = (runtime: Runtime) =>
  createCommand({
    name: 'revoke',
    about: 'end an activation; its seat is free at once',
    examples: [
      [
        'activation revoke 01a20a16-e903-7073-8d90-840262d70cf5 --tenant acme',
        'asks first; --yes does not',
      ],
    ],
  })
    .argument('<id>', 'the activation', anyCaseId)
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--yes', 'do not ask')
    .action(
      withContext(
        runtime,
        async ({ ctx, terminal }, id: string, options: { tenant: string; yes?: true }) => {
          if (!options.yes && !(await terminal.confirm(`Revoke activation "${id}"?`, '--yes'))) {
            return terminal.note('Nothing was done.')
          }
          const scope = await enterTenant(ctx, options.tenant)
          const { status, instanceId } = (await revokeActivation(scope, id)).result
          await terminal.record(
            { id, status },
            () => `the activation of "${instanceId}" is ${status}`,
          )
        },
      ),
    )
