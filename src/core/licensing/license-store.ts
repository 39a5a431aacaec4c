import type { TenantDb } from '../db/connect.js'
import { affectedBy, type Bindable, type Executor, insertRows, rowsOf } from '../db/statements.js'
import { fromJsonColumn, readUuid } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import {
  type EffectiveStatus,
  type License,
  type LicenseEntitlements,
  type LicenseStatus,
  type LicenseType,
  readLicenseKey,
} from './license.js'
import type { LicenseOrder, LicenseRecord } from './license-record.js'

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
  change: number,
): Promise<void> {
  await affectedBy(
    transaction,
    'update licenses set activations_count = activations_count + ? where id = ?',
    [change, licenseId],
  )
}

type RecordRow = LicenseRow & {
  metadata: unknown
  activations_count: number
  last_used_at: Date | null
  suspended_at: Date | null
  revoked_at: Date | null
  revision: number
  updated_at: Date
}

const RECORD_COLUMNS = `${LICENSE_COLUMNS.join(', ')}, metadata, activations_count, last_used_at, suspended_at, revoked_at, revision, updated_at`

const toRecord = (row: RecordRow): LicenseRecord => ({
  ...toLicense(row),
  metadata: fromJsonColumn<Record<string, unknown>>(row.metadata),
  activations: row.activations_count,
  lastUsedAt: row.last_used_at ?? undefined,
  suspendedAt: row.suspended_at ?? undefined,
  revokedAt: row.revoked_at ?? undefined,
  revision: row.revision,
  updatedAt: row.updated_at,
})

/** The stored spelling of a license's key or id; other text unchanged. */
export const licenseName = (text: string): string => byName(text)?.value ?? text

/** How a license that is named by its key or its id is looked up; undefined if the text is neither. */
function byName(name: string): { readonly column: string; readonly value: string } | undefined {
  const key = readLicenseKey(name)
  if (key !== undefined) return { column: 'license_key', value: key }
  const id = readUuid(name)
  return id === undefined ? undefined : { column: 'id', value: id }
}

/** @param name the id, or the key */
export async function findLicenseRecord(
  db: Executor<TenantDb>,
  name: string,
): Promise<LicenseRecord | undefined> {
  const by = byName(name)
  if (!by) return undefined
  const [row] = await rowsOf<RecordRow>(
    db,
    `select ${RECORD_COLUMNS} from licenses where ${by.column} = ?`,
    [by.value],
  )
  return row && toRecord(row)
}

/** The same, locked until the transaction ends. */
export async function lockLicenseRecord(
  transaction: Executor<TenantDb>,
  name: string,
): Promise<LicenseRecord | undefined> {
  const by = byName(name)
  if (!by) return undefined
  const [row] = await rowsOf<RecordRow>(
    transaction,
    `select ${RECORD_COLUMNS} from licenses where ${by.column} = ? for update`,
    [by.value],
  )
  return row && toRecord(row)
}

export type LicenseFilter = {
  /** The product's code. */
  readonly product?: string | undefined
  readonly status?: EffectiveStatus | undefined
  readonly type?: LicenseType | undefined
  readonly customerEmail?: string | undefined
  readonly expiresBefore?: Date | undefined
  readonly expiresAfter?: Date | undefined
  readonly search?: string | undefined
  /** What the clock says: whether a license has expired follows from it. */
  readonly now: Date
  readonly order?: LicenseOrder | undefined
  /** Where the page before ended, in that order. */
  readonly after?: After | undefined
  readonly limit: number
}

/** Newest first, or in another order; a page at a time. */
export async function listLicenses(
  db: Executor<TenantDb>,
  filter: LicenseFilter,
): Promise<LicenseRecord[]> {
  const { order = '-created_at', after, limit } = filter
  const byExpiry = order.endsWith('expires_at')
  const found: LicenseRecord[] = []
  // those that never expire come last, whichever way: a part of their own, so that the index has the order
  for (const part of byExpiry ? (['ends', 'never'] as const) : (['all'] as const)) {
    if (found.length === limit) break
    if (part === 'ends' && after && after.expiresAt === null) continue
    const conditions = [
      ...filterConditions(filter),
      ...placeConditions(
        order,
        part,
        after && part !== 'all' && !isIn(part, after) ? undefined : after,
      ),
    ]
    const where = conditions.map(({ sql }) => `(${sql})`).join(' and ') || 'true'
    const rows = await rowsOf<RecordRow>(
      db,
      `select ${RECORD_COLUMNS} from licenses where ${where} order by ${orderOf(order, part)} limit ?`,
      [...conditions.flatMap(({ values }) => values), limit - found.length],
    )
    found.push(...rows.map(toRecord))
  }
  return found
}

type Part = 'all' | 'ends' | 'never'
type After = { readonly expiresAt?: Date | null; readonly id: string }

const isIn = (part: Part, { expiresAt = null }: After): boolean =>
  (part === 'never') === (expiresAt === null)

/** Ids begin with the time of their making, so theirs is the order of creation. */
function orderOf(order: LicenseOrder, part: Part): string {
  const way = order.startsWith('-') ? ' desc' : ''
  return part === 'ends' ? `expires_at${way}, id${way}` : `id${way}`
}

type Condition = { readonly sql: string; readonly values: readonly Bindable[] }

function filterConditions(filter: LicenseFilter): Condition[] {
  const { product, status, type, customerEmail, expiresBefore, expiresAfter, search } = filter
  const conditions: Condition[] = []
  const add = (sql: string, ...values: readonly Bindable[]) => conditions.push({ sql, values })
  if (product !== undefined)
    add('product_id = (select products.id from products where products.code = ?)', product)
  if (type !== undefined) add('type = ?', type)
  if (customerEmail !== undefined) add('customer_email = ?', customerEmail)
  if (expiresBefore !== undefined) add('expires_at < ?', expiresBefore)
  if (expiresAfter !== undefined) add('expires_at >= ?', expiresAfter)
  if (status === 'suspended' || status === 'revoked') add('status = ?', status)
  if (status === 'active' || status === 'expired') {
    add("status = 'active'")
    const ended = 'expires_at is not null and expires_at + interval grace_days day <= ?'
    add(status === 'expired' ? ended : `not (${ended})`, filter.now)
    // what has expired did so before now, which the index knows
    if (status === 'expired') add('expires_at <= ?', filter.now)
  }
  if (search !== undefined) {
    const part = `%${escapeLike(search)}%`
    add(
      'customer_email like ? or customer_name like ? or license_key like ?',
      part,
      part,
      `${escapeLike(search.toUpperCase().replaceAll(/[^\x20-\x7e]/g, '?'))}%`,
    )
  }
  return conditions
}

const escapeLike = (text: string): string => text.replaceAll(/[\\%_]/g, '\\$&')

/** What of a part comes after a place in an order. */
function placeConditions(order: LicenseOrder, part: Part, after: After | undefined): Condition[] {
  const beyond = order.startsWith('-') ? '<' : '>'
  const conditions: Condition[] = []
  if (part !== 'all')
    conditions.push({ sql: `expires_at is ${part === 'never' ? '' : 'not '}null`, values: [] })
  if (!after) return conditions
  const { id, expiresAt } = after
  if (part === 'ends' && expiresAt) {
    conditions.push(
      { sql: `expires_at ${beyond}= ?`, values: [expiresAt] },
      { sql: `expires_at <> ? or id ${beyond} ?`, values: [expiresAt, id] },
    )
  } else conditions.push({ sql: `id ${beyond} ?`, values: [id] })
  return conditions
}

export const insertLicenses = (
  db: Executor<TenantDb>,
  licenses: readonly LicenseRecord[],
): Promise<void> => insertRows(db, 'licenses', licenses.map(toRow))

const toRow = (license: LicenseRecord) => ({
  id: license.id,
  license_key: license.key,
  type: license.type,
  ...changeable(license),
  activations_count: license.activations,
  created_at: license.createdAt,
})

/** The columns that a change of a license may touch. */
const changeable = (license: LicenseRecord) => ({
  product_id: license.productId,
  status: license.status,
  starts_at: license.startsAt ?? null,
  expires_at: license.expiresAt ?? null,
  grace_days: license.graceDays,
  entitlements: JSON.stringify(license.entitlements),
  metadata: JSON.stringify(license.metadata),
  customer_name: license.customerName ?? null,
  customer_email: license.customerEmail ?? null,
  suspended_at: license.suspendedAt ?? null,
  revoked_at: license.revokedAt ?? null,
  revision: license.revision,
  updated_at: license.updatedAt,
})

export async function setLicense(
  transaction: Executor<TenantDb>,
  license: LicenseRecord,
): Promise<void> {
  const columns = changeable(license)
  await affectedBy(
    transaction,
    `update licenses set ${Object.keys(columns)
      .map((column) => `${column} = ?`)
      .join(', ')} where id = ?`,
    [...Object.values(columns), license.id],
  )
}
