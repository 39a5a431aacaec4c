import type { Connection } from 'mysql2'
import type { z } from 'zod'
import { settingSeeds } from '../../../seeds/tenant/defaults.js'
import { addMilliseconds } from '../clock.js'
import type { TenantDb } from '../db/connect.js'
import { type IdempotentResult, inIdempotentTransaction } from '../db/idempotency.js'
import { type Executor, rowsOf } from '../db/statements.js'
import { takeFromLimit } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { recordEvents } from '../events/outbox-store.js'
import { newId } from '../ids.js'
import { fromJsonColumn, parse } from '../parse.js'
import type { Preconditions } from '../preconditions.js'
import type { Product } from '../products/product.js'
import { holdProducts } from '../products/product-store.js'
import type { TenantScope } from '../tenants/scope.js'
import { LICENSE_TYPES, type LicenseType, mintLicenseKey } from './license.js'
import {
  IssueLicenseInput,
  IssueLicensesInput,
  type LicenseOfProduct,
  type LicenseRecord,
} from './license-record.js'
import { insertLicenses } from './license-store.js'

const DAY_MS = 86_400_000

type Wish = z.output<typeof IssueLicenseInput> & { readonly quantity: number }

/**
 * Issues one license, within what the tenant's entitlements allow.
 *
 * @throws PRODUCT.NOT_FOUND, PRODUCT.INVALID_STATE, ENTITLEMENTS.LIMIT_EXCEEDED
 */
export async function issueLicense(
  scope: TenantScope,
  input: unknown,
  preconditions: Preconditions = {},
): Promise<IdempotentResult<LicenseOfProduct>> {
  const wish = parse(IssueLicenseInput, input)
  const { result, replayed } = await issue(scope, 'licenses.issue', preconditions, [
    { ...wish, quantity: 1 },
  ])
  return { result: result[0] as LicenseOfProduct, replayed }
}

/** The same for many in one transaction: all of them, or none. */
export async function issueLicenses(
  scope: TenantScope,
  input: unknown,
  preconditions: Preconditions = {},
): Promise<IdempotentResult<readonly LicenseOfProduct[]>> {
  const { licenses } = parse(IssueLicensesInput, input)
  return issue(scope, 'licenses.issue_many', preconditions, licenses)
}

function issue(
  scope: TenantScope,
  operation: string,
  { idempotencyKey }: Preconditions,
  wishes: readonly Wish[],
): Promise<IdempotentResult<LicenseOfProduct[]>> {
  return inIdempotentTransaction(
    scope,
    { operation, key: idempotencyKey, request: wishes },
    async (transaction) => {
      const at = scope.now()
      const products = await holdActiveProducts(transaction, wishes)
      const defaults = await defaultsOf(transaction)
      const issued = wishes.flatMap((wish) => {
        const product = products.get(wish.product) as Product
        return Array.from({ length: wish.quantity }, () => ({
          license: toLicense(wish, product, defaults, at),
          product: product.code,
        }))
      })
      await takeFromLimit(transaction, 'licenses.max', issued.length, at)
      await insertLicenses(
        transaction,
        issued.map(({ license }) => license),
      )
      await recordEvents(
        transaction,
        scope,
        issued.map(({ license, product }) => ({
          at,
          action: 'license.created',
          objectType: 'license',
          objectId: license.id,
          changes: {
            after: { product, type: license.type, expires_at: license.expiresAt ?? null },
          },
        })),
      )
      return issued
    },
  )
}

async function holdActiveProducts(
  transaction: Connection,
  wishes: readonly Wish[],
): Promise<Map<string, Product>> {
  // in one order, so that two callers lock them in the same
  const codes = [...new Set(wishes.map(({ product }) => product))].sort()
  const products = await holdProducts(transaction, codes)
  for (const code of codes) {
    const product = products.get(code)
    if (!product) throw new AppError('PRODUCT.NOT_FOUND', code)
    if (product.status !== 'active') throw new AppError('PRODUCT.INVALID_STATE', code)
  }
  return products
}

function toLicense(
  wish: Wish,
  product: Product,
  defaults: LicenseDefaults,
  at: Date,
): LicenseRecord {
  const type = wish.type ?? defaults.type
  const end =
    wish.expires_at === undefined
      ? defaults.expiry(type, wish.starts_at ?? at)
      : (wish.expires_at ?? undefined)
  return {
    id: newId(),
    productId: product.id,
    key: mintLicenseKey(),
    type,
    status: 'active',
    startsAt: wish.starts_at,
    expiresAt: end,
    graceDays: wish.grace_days ?? defaults.graceDays,
    entitlements: wish.entitlements,
    customerName: wish.customer_name,
    customerEmail: wish.customer_email,
    metadata: wish.metadata ?? {},
    activations: 0,
    lastUsedAt: undefined,
    suspendedAt: undefined,
    revokedAt: undefined,
    revision: 1,
    createdAt: at,
    updatedAt: at,
  }
}

export type LicenseDefaults = {
  readonly type: LicenseType
  readonly graceDays: number
  /** When a license of a type ends that begins then; undefined is never. */
  expiry(type: LicenseType, start: Date): Date | undefined
}

/** What the tenant's settings say of licenses that do not say it themselves. */
export async function defaultsOf(db: Executor<TenantDb>): Promise<LicenseDefaults> {
  const rows = await rowsOf<{ name: string; value: unknown }>(
    db,
    "select name, value from settings where name like 'licenses.%'",
  )
  const settings = new Map(rows.map(({ name, value }) => [name, fromJsonColumn<unknown>(value)]))
  const days = (name: string): number => Number(settings.get(name) ?? settingSeeds[name])
  return {
    type:
      LICENSE_TYPES.find((type) => type === settings.get('licenses.default_type')) ??
      'subscription',
    graceDays: days('licenses.default_grace_days'),
    expiry: (type, start) =>
      type === 'perpetual'
        ? undefined
        : addMilliseconds(start, days(`licenses.${type}_days`) * DAY_MS),
  }
}
