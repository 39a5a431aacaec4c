import type { PlatformDb } from '../db/connect.js'
import { affectedBy, rowsOf } from '../db/statements.js'
import { AppError } from '../errors.js'
import type { Tenant, TenantStatus } from './tenant.js'

type Row = {
  id: string
  slug: string
  name: string
  status: TenantStatus
  status_reason: string | null
  plan_id: string
  server_id: string
  database_name: string
  database_user: string
  credentials_key_id: string
  credentials_generation: number
  activated_at: Date | null
  suspended_at: Date | null
  created_at: Date
}

const COLUMNS = [
  'id',
  'slug',
  'name',
  'status',
  'status_reason',
  'plan_id',
  'server_id',
  'database_name',
  'database_user',
  'credentials_key_id',
  'credentials_generation',
  'activated_at',
  'suspended_at',
  'created_at',
] as const

const toTenant = (row: Row): Tenant => ({
  id: row.id,
  slug: row.slug,
  name: row.name,
  status: row.status,
  statusReason: row.status_reason ?? undefined,
  planId: row.plan_id,
  serverId: row.server_id,
  database: row.database_name,
  databaseUser: row.database_user,
  credentialsKeyId: row.credentials_key_id,
  credentialsGeneration: row.credentials_generation,
  activatedAt: row.activated_at ?? undefined,
  suspendedAt: row.suspended_at ?? undefined,
  createdAt: row.created_at,
})

export async function findTenant(db: PlatformDb, slug: string): Promise<Tenant | undefined> {
  const row = await db<Row>('tenants')
    .first(...COLUMNS)
    .where({ slug })
  return row && toTenant(row)
}

export async function getTenant(db: PlatformDb, slug: string): Promise<Tenant> {
  const tenant = await findTenant(db, slug)
  if (!tenant) throw new AppError('TENANT.NOT_FOUND', slug)
  return tenant
}

export type TenantFilter = {
  readonly status?: TenantStatus | undefined
  readonly afterSlug?: string | undefined
  readonly limit: number
}

/** By slug, a page at a time: give the last slug of one page as `afterSlug` of the next. */
export async function listTenants(
  db: PlatformDb,
  { status, afterSlug, limit }: TenantFilter,
): Promise<Tenant[]> {
  const query = db<Row>('tenants')
    .select(...COLUMNS)
    .orderBy('slug')
    .limit(limit)
  if (status !== undefined) query.where({ status })
  if (afterSlug !== undefined) query.where('slug', '>', afterSlug)
  return ((await query) as Row[]).map(toTenant)
}

/** The database users of all tenants on a server. */
export const listDatabaseUsers = (db: PlatformDb, serverId: string): Promise<string[]> =>
  db('tenants').where({ server_id: serverId }).pluck('database_user')

/** @throws the driver's duplicate error where the slug, the database or the user is taken */
export async function insertTenant(db: PlatformDb, tenant: Tenant): Promise<void> {
  await db('tenants').insert({
    id: tenant.id,
    slug: tenant.slug,
    name: tenant.name,
    status: tenant.status,
    plan_id: tenant.planId,
    server_id: tenant.serverId,
    database_name: tenant.database,
    database_user: tenant.databaseUser,
    credentials_key_id: tenant.credentialsKeyId,
    credentials_generation: tenant.credentialsGeneration,
    created_at: tenant.createdAt,
    updated_at: tenant.createdAt,
  })
}

/** Returns the status that a tenant has for the rest of the caller's transaction. */
export async function lockTenantStatus(db: PlatformDb, tenantId: string): Promise<TenantStatus> {
  const [row] = await rowsOf<{ status: TenantStatus }>(
    db,
    'select status from tenants where id = ? for update',
    [tenantId],
  )
  if (!row) throw new AppError('TENANT.NOT_FOUND', tenantId)
  return row.status
}

/** Moves a tenant from one of the named states. Returns false if it was in none of them. */
export async function setTenantStatus(
  db: PlatformDb,
  tenantId: string,
  from: readonly TenantStatus[],
  to: TenantStatus,
  at: Date,
  reason?: string,
): Promise<boolean> {
  const stamps: Partial<Record<TenantStatus, string>> = {
    active: ', activated_at = coalesce(activated_at, ?), suspended_at = null',
    suspended: ', suspended_at = ?',
  }
  const stamp = stamps[to] ?? ''
  const moved = await affectedBy(
    db,
    `update tenants set status = ?, status_reason = ?, updated_at = ?${stamp} where id = ? and status in (${from.map(() => '?').join(', ')})`,
    [to, reason?.slice(0, 255) ?? null, at, ...(stamp === '' ? [] : [at]), tenantId, ...from],
  )
  return moved === 1
}

/** One row that always stands: who counts what a tenant has on the platform, counts alone. */
export const lockTenant = (db: PlatformDb, tenantId: string) =>
  rowsOf(db, 'select id from tenants where id = ? for update', [tenantId])

export const setTenantPlan = (db: PlatformDb, tenantId: string, planId: string, at: Date) =>
  db('tenants').where({ id: tenantId }).update({ plan_id: planId, updated_at: at })

export async function findTenantById(db: PlatformDb, id: string): Promise<Tenant | undefined> {
  const row = await db<Row>('tenants')
    .first(...COLUMNS)
    .where({ id })
  return row && toTenant(row)
}

/** Whether tenants are open, and a text that changes when they move or get other credentials. */
export async function listPlaces(
  db: PlatformDb,
  tenantIds: readonly string[],
): Promise<Map<string, { readonly isOpen: boolean; readonly place: string }>> {
  const rows = (await db<Row>('tenants')
    .select(...COLUMNS)
    .whereIn('id', [...tenantIds])) as Row[]
  return new Map(
    rows.map((row) => [
      row.id,
      {
        isOpen: row.status === 'active' || row.status === 'provisioning' || row.status === 'failed',
        place: [
          row.server_id,
          row.database_name,
          row.credentials_key_id,
          row.credentials_generation,
        ].join('/'),
      },
    ]),
  )
}

export const listOwnerEmails = (db: PlatformDb, tenantId: string): Promise<string[]> =>
  db('tenant_users')
    .join('users', 'users.id', 'tenant_users.user_id')
    .where({ tenant_id: tenantId, role: 'owner' })
    .pluck('users.email')
