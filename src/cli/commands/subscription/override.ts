import { overrideEntitlement } from '../../../core/subscriptions/override-entitlement.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { createCommand } from '../../command.js'
import { readEntitlement } from '../../entitlement-argument.js'
import { type Runtime, withContext } from '../../runtime.js'
import { grantText } from '../plan/shown.js'

type Options = { readonly tenant: string; readonly remove?: true; readonly new?: true }

export const subscriptionOverride = (runtime: Runtime) =>
  createCommand({
    name: 'override',
    fields: { code: 'code=value', value: 'code=value' },
    about: 'grant a tenant something beside its plan, also across changes of the plan',
    examples: [
      ['subscription override licenses.max=500 --tenant acme', 'another limit'],
      ['subscription override licenses.max=unlimited --tenant acme', 'none at all'],
      ['subscription override features.beta=true --new --tenant acme', 'what no plan has'],
      ['subscription override licenses.max --remove --tenant acme', 'the plan decides again'],
    ],
  })
    .argument('<code=value>', 'the entitlement; with --remove its code alone')
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--remove', 'take the agreement back')
    .option('--new', 'grant a code that no plan has')
    .action(
      withContext(runtime, async ({ ctx, terminal }, text: string, options: Options) => {
        const scope = await enterTenant(ctx, options.tenant)
        const [code, value] = options.remove ? [text, undefined] : readEntitlement(text)
        const standing = await overrideEntitlement(ctx, scope, {
          code,
          ...(options.remove ? {} : { value: value === 'unlimited' ? null : value }),
          is_new: options.new === true,
        })
        await terminal.rows(
          standing,
          [
            { title: 'entitlement', value: (each) => each.code },
            { title: 'value', value: (each) => grantText(each.value) },
            { title: 'source', value: ({ source }) => source },
          ],
          (each) => each,
        )
      }),
    )
