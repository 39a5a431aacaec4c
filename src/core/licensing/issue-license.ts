import { z } from 'zod'
import { settingSeeds } from '../../../seeds/tenant/defaults.js'
import { addMilliseconds } from '../clock.js'
import type { TenantDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { takeFromLimit } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { insertOutbox } from '../events/outbox-store.js'
import { newId } from '../ids.js'
import { fromJsonColumn, instantSchema, parse } from '../parse.js'
import { findProduct, insertProduct, type Product } from '../products/product-store.js'
import type { TenantScope } from '../tenants/scope.js'
import { LICENSE_TYPES, type License, mintLicenseKey } from './license.js'
import { insertLicense } from './license-store.js'

const DAY_MS = 86_400_000

export const productCodeSchema = z
  .string('must be text')
  .regex(
    /^[a-z0-9]+([._-][a-z0-9]+)*$/,
    'must be lower-case letters and digits, in words joined by ".", "_" or "-"',
  )
  .max(60, 'must be at most 60 characters')

const entitlementCode = z
  .string()
  .regex(
    /^[a-z0-9]+([._-][a-z0-9]+)*$/,
    'must be lower-case letters and digits, in words joined by ".", "_" or "-"',
  )
  .max(100, 'must be at most 100 characters')

export const IssueLicenseInput = z
  .strictObject({
    product: productCodeSchema,
    /** Creates the product where it is missing, under this name. */
    createProduct: z
      .string()
      .trim()
      .min(1, 'must not be empty')
      .max(120, 'must be at most 120 characters')
      .optional(),
    type: z
      .enum(LICENSE_TYPES, `must be one of ${LICENSE_TYPES.join(', ')}`)
      .default('subscription'),
    startsAt: instantSchema.optional(),
    /** Null never expires. Absent: never for perpetual ones, else after the tenant's default time. */
    expiresAt: z.union([instantSchema, z.null()]).optional(),
    graceDays: z
      .number()
      .int('must be a whole number')
      .min(0, 'must be at least 0')
      .max(3650, 'must be at most 3650')
      .optional(),
    entitlements: z
      .record(
        entitlementCode,
        z.union([
          z.boolean(),
          z.number().finite(),
          z.string().max(255, 'must be at most 255 characters'),
        ]),
      )
      .default({}),
    customerName: z
      .string()
      .trim()
      .min(1, 'must not be empty')
      .max(120, 'must be at most 120 characters')
      .optional(),
    customerEmail: z
      .email('must be an e-mail address')
      .max(255, 'must be at most 255 characters')
      .optional(),
  })
  .refine(({ startsAt, expiresAt }) => !startsAt || !expiresAt || startsAt < expiresAt, {
    path: ['expiresAt'],
    message: 'must be later than the start',
  })

export type IssuedLicense = { readonly license: License; readonly product: Product }

/**
 * Issues one license, within what the tenant's entitlements allow.
 *
 * @throws PRODUCT.NOT_FOUND, ENTITLEMENTS.LIMIT_EXCEEDED
 */
export async function issueLicense(scope: TenantScope, input: unknown): Promise<IssuedLicense> {
  const wish = parse(IssueLicenseInput, input)
  const at = scope.now()
  return inTransaction(scope.db, async (transaction) => {
    const product =
      (await findProduct(transaction, wish.product)) ??
      (await addProduct(scope, transaction, wish.product, wish.createProduct, at))
    const defaults = await defaultsOf(transaction)
    const license: License = {
      id: newId(),
      productId: product.id,
      key: mintLicenseKey(),
      type: wish.type,
      status: 'active',
      startsAt: wish.startsAt,
      expiresAt:
        wish.expiresAt === undefined
          ? defaults.expiry(wish.type, wish.startsAt ?? at)
          : (wish.expiresAt ?? undefined),
      graceDays: wish.graceDays ?? defaults.graceDays,
      entitlements: wish.entitlements,
      customerName: wish.customerName,
      customerEmail: wish.customerEmail,
      createdAt: at,
    }
    await takeFromLimit(transaction, 'licenses.max', 1, at)
    await insertLicense(transaction, license)
    await insertOutbox(transaction, {
      occurredAt: at,
      actor: scope.actor,
      requestId: scope.requestId,
      action: 'license.created',
      objectType: 'license',
      objectId: license.id,
      changes: {
        after: { product: product.code, type: license.type, expires_at: license.expiresAt ?? null },
      },
    })
    return { license, product }
  })
}

async function addProduct(
  scope: TenantScope,
  transaction: TenantDb,
  code: string,
  name: string | undefined,
  at: Date,
): Promise<Product> {
  if (name === undefined) throw new AppError('PRODUCT.NOT_FOUND', code)
  const product: Product = { id: newId(), code, name, status: 'active', createdAt: at }
  await takeFromLimit(transaction, 'products.max', 1, at)
  await insertProduct(transaction, product)
  await insertOutbox(transaction, {
    occurredAt: at,
    actor: scope.actor,
    requestId: scope.requestId,
    action: 'product.created',
    objectType: 'product',
    objectId: product.id,
    changes: { after: { code, name } },
  })
  return product
}

async function defaultsOf(db: TenantDb) {
  const rows = await db('settings').select('name', 'value').where('name', 'like', 'licenses.%')
  const settings = new Map(rows.map(({ name, value }) => [name, fromJsonColumn<unknown>(value)]))
  const days = (name: string): number => Number(settings.get(name) ?? settingSeeds[name])
  return {
    graceDays: days('licenses.default_grace_days'),
    expiry: (type: License['type'], start: Date): Date | undefined => {
      if (type === 'perpetual') return undefined
      return addMilliseconds(start, days(`licenses.${type}_days`) * DAY_MS)
    },
  }
}
