import { AppError } from '../../../core/errors.js'
import { judge } from '../../../core/licensing/license.js'
import { SHOWN_STATUSES, toLicenseObject } from '../../../core/licensing/license-record.js'
import { listLicenses } from '../../../core/licensing/license-store.js'
import { findProduct, productCodes } from '../../../core/products/product-store.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { createCommand } from '../../command.js'
import { readChoice, readCount } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'
import { expiryText } from './shown.js'

type Options = {
  readonly tenant: string
  readonly product?: string
  readonly status?: string
  readonly limit: string
}

export const licenseList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: "list a tenant's licenses, newest first",
    examples: [
      ['license list --tenant acme', 'the newest 50'],
      [
        'license list --tenant acme --product editor --limit 1000 --json',
        'more of them, for a script',
      ],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--product <code>', 'only those for this product')
    .option('--status <status>', `only those that are ${SHOWN_STATUSES.join(', ')}`)
    .option('--limit <count>', 'at most so many', '50')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: Options) => {
        const status = options.status && readChoice(options.status, SHOWN_STATUSES, '--status')
        const limit = readCount(options.limit, '--limit')
        const scope = await enterTenant(ctx, options.tenant)
        if (options.product !== undefined && !(await findProduct(scope.db, options.product)))
          throw new AppError('PRODUCT.NOT_FOUND', options.product)
        const licenses = await listLicenses(scope.db, {
          status: status || undefined,
          product: options.product,
          now: scope.now(),
          limit,
        })
        const codes = await productCodes(scope.db)
        const now = scope.now()
        await terminal.rows(
          licenses,
          [
            { title: 'key', value: ({ key }) => key },
            { title: 'product', value: ({ productId }) => codes.get(productId) ?? '-' },
            { title: 'type', value: ({ type }) => type },
            { title: 'status', value: (license) => judge(license, now).status },
            { title: 'expires', value: expiryText },
            {
              title: 'customer',
              value: ({ customerName, customerEmail }) => customerName ?? customerEmail ?? '-',
            },
          ],
          (license) =>
            toLicenseObject({ license, product: codes.get(license.productId) ?? '' }, now),
        )
        if (licenses.length === 0)
          terminal.remark(
            status || options.product
              ? 'No license matches.'
              : 'No licenses. "validonx license issue" makes one.',
          )
      }),
    )
