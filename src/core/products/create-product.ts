import { type IdempotentResult, inIdempotentTransaction } from '../db/idempotency.js'
import { takeFromLimit } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { recordEvent } from '../events/outbox-store.js'
import { newId } from '../ids.js'
import { parse } from '../parse.js'
import type { Preconditions } from '../preconditions.js'
import type { TenantScope } from '../tenants/scope.js'
import { CreateProductInput, type Product } from './product.js'
import { findProduct, insertProduct } from './product-store.js'

/** @throws PRODUCT.EXISTS, ENTITLEMENTS.LIMIT_EXCEEDED */
export async function createProduct(
  scope: TenantScope,
  input: unknown,
  { idempotencyKey }: Preconditions = {},
): Promise<IdempotentResult<Product>> {
  const wish = parse(CreateProductInput, input)
  return inIdempotentTransaction(
    scope,
    { operation: 'products.create', key: idempotencyKey, request: wish },
    async (transaction) => {
      const at = scope.now()
      const product: Product = {
        id: newId(),
        code: wish.code,
        name: wish.name,
        description: wish.description,
        status: 'active',
        metadata: wish.metadata ?? {},
        revision: 1,
        createdAt: at,
        updatedAt: at,
      }
      // whoever holds the code says so, also where the limit is reached
      if (await findProduct(transaction, wish.code)) throw new AppError('PRODUCT.EXISTS', wish.code)
      await takeFromLimit(transaction, 'products.max', 1, at)
      await insertProduct(transaction, product)
      await recordEvent(transaction, scope, {
        at,
        action: 'product.created',
        objectType: 'product',
        objectId: product.id,
        changes: { after: { code: product.code, name: product.name } },
      })
      return product
    },
  )
}

/** The product of that code, made under the given name where there is none. */
export async function ensureProduct(
  scope: TenantScope,
  input: { readonly code: string; readonly name: string },
): Promise<Product> {
  const known = await findProduct(scope.db, input.code)
  if (known) return known
  try {
    return (await createProduct(scope, input)).result
  } catch (error) {
    const made =
      error instanceof AppError && error.code === 'PRODUCT.EXISTS'
        ? await findProduct(scope.db, input.code)
        : undefined
    if (!made) throw error
    return made
  }
}
