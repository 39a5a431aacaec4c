import { isDeepStrictEqual } from 'node:util'
import { giveBackToLimit } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { recordEvent } from '../events/outbox-store.js'
import { patchedField } from '../merge-patch.js'
import { metadataSchema } from '../metadata.js'
import { DEFAULT_PAGE, type Page, placeOfCursor, toPage } from '../page.js'
import { parse } from '../parse.js'
import { assertMatch, etagOf, type Preconditions } from '../preconditions.js'
import type { TenantScope } from '../tenants/scope.js'
import { ListProductsQuery, type Product, UpdateProductInput } from './product.js'
import {
  deleteProductRow,
  findProductById,
  listProducts,
  lockProduct,
  setProduct,
} from './product-store.js'

/** Newest first, a page at a time. */
export async function pageProducts(scope: TenantScope, query: unknown): Promise<Page<Product>> {
  const { cursor, limit = DEFAULT_PAGE, ...filter } = parse(ListProductsQuery, query)
  const [beforeId] = placeOfCursor(cursor, 'products', ['id']) ?? []
  const found = await listProducts(scope.db, {
    ...filter,
    beforeId: beforeId ?? undefined,
    limit: limit + 1,
  })
  return toPage(found, limit, 'products', ({ id }) => [id])
}

/** @throws PRODUCT.NOT_FOUND */
export async function getProductById(scope: TenantScope, id: string): Promise<Product> {
  const product = await findProductById(scope.db, id)
  if (!product) throw new AppError('PRODUCT.NOT_FOUND')
  return product
}

/** Changes what is named and leaves the rest. @throws PRODUCT.NOT_FOUND, REQUEST.PRECONDITION_FAILED */
export async function updateProduct(
  scope: TenantScope,
  id: string,
  input: unknown,
  { ifMatch }: Preconditions = {},
): Promise<Product> {
  const patch = parse(UpdateProductInput, input)
  return scope.transaction(async (transaction) => {
    const product = await lockProduct(transaction, id)
    if (!product) throw new AppError('PRODUCT.NOT_FOUND')
    assertMatch(ifMatch, etagOf(product.revision))
    const at = scope.now()
    const changed: Product = {
      ...product,
      name: patch.name ?? product.name,
      description:
        patch.description === undefined ? product.description : (patch.description ?? undefined),
      status: patch.status ?? product.status,
      metadata: parse(metadataSchema, patchedField(product.metadata, patch.metadata)),
      revision: product.revision + 1,
      updatedAt: at,
    }
    if (isDeepStrictEqual(shown(product), shown(changed))) return product
    await setProduct(transaction, changed)
    await recordEvent(transaction, scope, {
      at,
      action: 'product.updated',
      objectType: 'product',
      objectId: id,
      changes: { before: shown(product), after: shown(changed) },
    })
    return changed
  })
}

/** Only one that no license is for. @throws PRODUCT.NOT_FOUND, PRODUCT.IN_USE, REQUEST.PRECONDITION_FAILED */
export async function deleteProduct(
  scope: TenantScope,
  id: string,
  { ifMatch }: Preconditions = {},
): Promise<void> {
  await scope.transaction(async (transaction) => {
    const product = await lockProduct(transaction, id)
    if (!product) throw new AppError('PRODUCT.NOT_FOUND')
    assertMatch(ifMatch, etagOf(product.revision))
    const at = scope.now()
    await deleteProductRow(transaction, id)
    await giveBackToLimit(transaction, 'products.max', 1, at)
    await recordEvent(transaction, scope, {
      at,
      action: 'product.deleted',
      objectType: 'product',
      objectId: id,
      changes: { before: shown(product) },
    })
  })
}

const shown = ({ code, name, description, status, metadata }: Product) => ({
  code,
  name,
  description: description ?? null,
  status,
  metadata,
})
