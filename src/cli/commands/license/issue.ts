import { issueLicense } from '../../../core/licensing/issue-licenses.js'
import { toLicenseObject } from '../../../core/licensing/license-record.js'
import { ensureProduct } from '../../../core/products/create-product.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { collect, createCommand } from '../../command.js'
import { readEntitlement } from '../../entitlement-argument.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatFields } from '../../terminal.js'
import { licenseFields } from './shown.js'

type Options = {
  readonly tenant: string
  readonly product: string
  readonly createProduct?: string
  readonly type?: string
  readonly starts?: string
  readonly expires?: string
  readonly graceDays?: string
  readonly entitlement?: readonly string[]
  readonly customerName?: string
  readonly customerEmail?: string
}

export const licenseIssue = (runtime: Runtime) =>
  createCommand({
    name: 'issue',
    fields: {
      starts_at: '--starts',
      expires_at: '--expires',
      code: '--product',
      name: '--create-product',
    },
    about: 'issue a license for a product of a tenant',
    examples: [
      [
        'license issue --tenant acme --product editor --create-product "Acme Editor"',
        'the first one, with its product',
      ],
      [
        'license issue --tenant acme --product editor --type trial --expires 2027-01-31',
        'a trial with a fixed end',
      ],
      [
        'license issue --tenant acme --product editor --type perpetual -e features.export=true -e activations.max=5',
        'with entitlements',
      ],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .requiredOption('--product <code>', 'the product that it is for')
    .option('--create-product <name>', 'create the product under this name if there is none')
    .option('--type <type>', 'perpetual, subscription or trial (default: subscription)')
    .option('--starts <time>', 'not valid before: a date or an RFC 3339 time')
    .option(
      '--expires <time>',
      'a date, an RFC 3339 time, or "never" (default: by type, from the tenant\'s settings)',
    )
    .option('--grace-days <days>', 'days that it stays valid after it expires')
    .option('-e, --entitlement <code=value>', 'grant something; may be repeated', collect)
    .option('--customer-name <name>', 'whom it is for')
    .option('--customer-email <address>', 'their e-mail address')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: Options) => {
        const scope = await enterTenant(ctx, options.tenant)
        if (options.createProduct !== undefined)
          await ensureProduct(scope, { code: options.product, name: options.createProduct })
        const { license, product } = (await issueLicense(scope, toInput(options))).result
        await terminal.record(toLicenseObject({ license, product }, scope.now()), () =>
          formatFields(licenseFields(license, product, scope.now())),
        )
      }),
    )

function toInput(options: Options): Record<string, unknown> {
  const input = {
    product: options.product,
    type: options.type,
    starts_at: options.starts,
    expires_at: options.expires === 'never' ? null : options.expires,
    grace_days: options.graceDays === undefined ? undefined : Number(options.graceDays),
    entitlements:
      options.entitlement && Object.fromEntries(options.entitlement.map(readEntitlement)),
    customer_name: options.customerName,
    customer_email: options.customerEmail,
  }
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined))
}
