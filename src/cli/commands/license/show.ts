import { AppError } from '../../../core/errors.js'
import { isWellFormedLicenseKey } from '../../../core/licensing/license.js'
import { findLicense } from '../../../core/licensing/license-store.js'
import { productCodes } from '../../../core/products/product-store.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatFields } from '../../terminal.js'
import { licenseFields, licenseJson } from './shown.js'

export const licenseShow = (runtime: Runtime) =>
  createCommand({
    name: 'show',
    about: 'show one license',
    examples: [['license show 8FKQ-2M7X-ZT4C-93WN --tenant acme', 'by its key']],
  })
    .argument('<key>', 'the license key')
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(runtime, async ({ ctx, terminal }, key: string, options: { tenant: string }) => {
        const scope = await enterTenant(ctx, options.tenant)
        const license = isWellFormedLicenseKey(key) ? await findLicense(scope, key) : undefined
        if (!license) throw new AppError('LICENSE.NOT_FOUND')
        const product = (await productCodes(scope.db)).get(license.productId) ?? ''
        await terminal.record(licenseJson(license, product, scope.now()), () =>
          formatFields(licenseFields(license, product, scope.now())),
        )
      }),
    )
