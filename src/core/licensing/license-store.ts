import type { TenantDb } from '../db/connect.js'
import { affectedBy, type Executor, rowsOf } from '../db/statements.js'
import { fromJsonColumn } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import type { License, LicenseEntitlements, LicenseStatus, LicenseType } from './license.js'

/** A license as the driver hands it over. */
export type LicenseRow = {
  id: string
  product_id: string
  license_key: string
  type: LicenseType
  status: LicenseStatus
  starts_at: Date | null
  expires_at: Date | null
  grace_days: number
  entitlements: unknown
  customer_name: string | null
  customer_email: string | null
  created_at: Date
}

export const LICENSE_COLUMNS = [
  'id',
  'product_id',
  'license_key',
  'type',
  'status',
  'starts_at',
  'expires_at',
  'grace_days',
  'entitlements',
  'customer_name',
  'customer_email',
  'created_at',
] as const

export const toLicense = (row: LicenseRow): License => ({
  id: row.id,
  productId: row.product_id,
  key: row.license_key,
  type: row.type,
  status: row.status,
  startsAt: row.starts_at ?? undefined,
  expiresAt: row.expires_at ?? undefined,
  graceDays: row.grace_days,
  entitlements: fromJsonColumn<LicenseEntitlements>(row.entitlements),
  customerName: row.customer_name ?? undefined,
  customerEmail: row.customer_email ?? undefined,
  createdAt: row.created_at,
})

const FIND_BY_KEY = `select ${LICENSE_COLUMNS.join(', ')} from licenses where license_key = ?`

/** The hot path of the whole product: one statement on one connection. */
export async function findLicense(scope: TenantScope, key: string): Promise<License | undefined> {
  const [row] = await scope.read<LicenseRow>(FIND_BY_KEY, [key])
  return row && toLicense(row)
}

/**
 * A license, locked until the transaction ends: who counts its seats counts alone. With how many
 * seats are taken.
 */
export async function lockLicense(
  transaction: Executor<TenantDb>,
  key: string,
): Promise<{ readonly license: License; readonly seatsTaken: number } | undefined> {
  const [row] = await rowsOf<LicenseRow & { activations_count: number }>(
    transaction,
    `select ${LICENSE_COLUMNS.join(', ')}, activations_count from licenses where license_key = ? for update`,
    [key],
  )
  return row && { license: toLicense(row), seatsTaken: row.activations_count }
}

export async function addSeats(
  transaction: Executor<TenantDb>,
  licenseId: string,
  change: 1 | -1,
): Promise<void> {
  await affectedBy(
    transaction,
    'update licenses set activations_count = activations_count + ? where id = ?',
    [change, licenseId],
  )
}

export type LicenseFilter = {
  readonly productId?: string | undefined
  readonly status?: LicenseStatus | undefined
  readonly beforeId?: string | undefined
  readonly limit: number
}

/** Newest first, a page at a time: give the last id of one page as `beforeId` of the next. */
export async function listLicenses(
  db: TenantDb,
  { productId, status, beforeId, limit }: LicenseFilter,
): Promise<License[]> {
  const query = db<LicenseRow>('licenses')
    .select(...LICENSE_COLUMNS)
    .orderBy('id', 'desc')
    .limit(limit)
  if (productId !== undefined) query.where({ product_id: productId })
  if (status !== undefined) query.where({ status })
  if (beforeId !== undefined) query.where('id', '<', beforeId)
  return ((await query) as LicenseRow[]).map(toLicense)
}

export async function insertLicense(db: TenantDb, license: License): Promise<void> {
  await db('licenses').insert({
    id: license.id,
    product_id: license.productId,
    license_key: license.key,
    type: license.type,
    status: license.status,
    starts_at: license.startsAt ?? null,
    expires_at: license.expiresAt ?? null,
    grace_days: license.graceDays,
    entitlements: JSON.stringify(license.entitlements),
    metadata: '{}',
    customer_name: license.customerName ?? null,
    customer_email: license.customerEmail ?? null,
    activations_count: 0,
    revision: 1,
    created_at: license.createdAt,
    updated_at: license.createdAt,
  })
}
