import { toLicenseObject } from '../../../core/licensing/license-record.js'
import { getLicense } from '../../../core/licensing/read-licenses.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatFields } from '../../terminal.js'
import { licenseFields } from './shown.js'

export const licenseShow = (runtime: Runtime) =>
  createCommand({
    name: 'show',
    about: 'show one license',
    examples: [['license show 8FKQ-2M7X-ZT4C-93WN --tenant acme', 'by its key']],
  })
    .argument('<license>', 'the license’s key, or its id')
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(runtime, async ({ ctx, terminal }, name: string, options: { tenant: string }) => {
        const scope = await enterTenant(ctx, options.tenant)
        const found = await getLicense(scope, name)
        const { license, product } = found
        await terminal.record(toLicenseObject(found, scope.now()), () =>
          formatFields(licenseFields(license, product, scope.now())),
        )
      }),
    )
