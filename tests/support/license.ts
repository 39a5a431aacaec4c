import { issueLicense } from '../../src/core/licensing/issue-licenses.js'
import type { LicenseOfProduct } from '../../src/core/licensing/license-record.js'
import { ensureProduct } from '../../src/core/products/create-product.js'
import type { TenantScope } from '../../src/core/tenants/scope.js'

/** Issues a license for a product that is made where it is missing. */
export async function issueFor(
  scope: TenantScope,
  {
    product = 'app',
    ...wish
  }: { readonly product?: string } & Readonly<Record<string, unknown>> = {},
): Promise<LicenseOfProduct> {
  await ensureProduct(scope, { code: product, name: 'App' })
  return (await issueLicense(scope, { product, ...wish })).result
}
