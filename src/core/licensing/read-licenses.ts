import { AppError } from '../errors.js'
import { DEFAULT_PAGE, type Page, placeOfCursor, toPage } from '../page.js'
import { parse } from '../parse.js'
import { productCodes } from '../products/product-store.js'
import type { TenantScope } from '../tenants/scope.js'
import { type LicenseOfProduct, ListLicensesQuery } from './license-record.js'
import { findLicenseRecord, type LicenseFilter, listLicenses } from './license-store.js'

/** Licenses with the codes of their products, a page at a time. */
export async function pageLicenses(
  scope: TenantScope,
  query: unknown,
): Promise<Page<LicenseOfProduct>> {
  const wish = parse(ListLicensesQuery, query)
  const { limit = DEFAULT_PAGE, sort: order = '-created_at' } = wish
  const place = placeOfCursor(wish.cursor, `licenses ${order}`, ['id', 'time'])
  const filter: LicenseFilter = {
    product: wish.product,
    status: wish.status,
    type: wish.type,
    customerEmail: wish.customer_email,
    expiresBefore: wish.expires_before,
    expiresAfter: wish.expires_after,
    search: wish.search,
    now: scope.now(),
    order,
    after: place && { id: place[0] ?? '', expiresAt: place[1] ? new Date(place[1]) : null },
    limit: limit + 1,
  }
  return scope.lend(async (connection) => {
    const found = await listLicenses(connection, filter)
    const page = toPage(found, limit, `licenses ${order}`, ({ id, expiresAt }) => [
      id,
      expiresAt?.toISOString() ?? null,
    ])
    const ids = [...new Set(page.items.map(({ productId }) => productId))]
    const codes = wish.product === undefined ? await productCodes(connection, ids) : undefined
    return {
      ...page,
      items: page.items.map((license) => ({
        license,
        product: wish.product ?? codes?.get(license.productId) ?? '',
      })),
    }
  })
}

/** @param name the id, or the key. @throws LICENSE.NOT_FOUND */
export async function getLicense(scope: TenantScope, name: string): Promise<LicenseOfProduct> {
  const license = await findLicenseRecord(scope.db, name)
  if (!license) throw new AppError('LICENSE.NOT_FOUND')
  const codes = await productCodes(scope.db, [license.productId])
  return { license, product: codes.get(license.productId) ?? '' }
}
