import type { PlatformDb } from '../db/connect.js'
import { affectedBy, insertRow, rowsOf } from '../db/statements.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { newId } from '../ids.js'
import { lockTenant } from '../tenants/tenant-store.js'
import type { Role } from './roles.js'

/** A user as one tenant sees them. */
export type Member = {
  readonly userId: string
  readonly name: string
  readonly email: string
  readonly role: Role
  readonly isDisabled: boolean
  readonly createdAt: Date
}

type Row = {
  user_id: number | string
  name: string
  email: string
  role: Role
  disabled_at: Date | null
  created_at: Date
}

const SELECT = `select tenant_users.user_id, users.name, users.email, tenant_users.role, users.disabled_at, tenant_users.created_at
  from tenant_users join users on users.id = tenant_users.user_id and users.deleted_at is null`

const toMember = (row: Row): Member => ({
  userId: String(row.user_id),
  name: row.name,
  email: row.email,
  role: row.role,
  isDisabled: row.disabled_at !== null,
  createdAt: row.created_at,
})

/** In the order of their joining. */
export async function listMembers(
  db: PlatformDb,
  tenantId: string,
  {
    afterUserId = '0',
    limit = 1_000_000,
  }: { readonly afterUserId?: string | undefined; readonly limit?: number } = {},
): Promise<Member[]> {
  const rows = await rowsOf<Row>(
    db,
    `${SELECT} where tenant_users.tenant_id = ? and tenant_users.user_id > ? order by tenant_users.user_id limit ?`,
    [tenantId, afterUserId, limit],
  )
  return rows.map(toMember)
}

export async function findMember(
  db: PlatformDb,
  tenantId: string,
  userId: string,
): Promise<Member | undefined> {
  const [row] = await rowsOf<Row>(
    db,
    `${SELECT} where tenant_users.tenant_id = ? and tenant_users.user_id = ?`,
    [tenantId, userId],
  )
  return row && toMember(row)
}

/** All members, locked until the transaction ends: who counts owners counts alone. */
export async function lockMembers(db: PlatformDb, tenantId: string): Promise<Member[]> {
  await lockTenant(db, tenantId)
  return listMembers(db, tenantId)
}

/** @throws MEMBER.EXISTS: the unique index decides */
export async function insertMember(
  db: PlatformDb,
  { tenantId, userId, role }: { tenantId: string; userId: string; role: Role },
  at: Date,
): Promise<void> {
  try {
    await insertRow(db, 'tenant_users', {
      id: newId(),
      tenant_id: tenantId,
      user_id: userId,
      role,
      created_at: at,
      updated_at: at,
    })
  } catch (error) {
    if (isFailure(error, 'duplicate')) throw new AppError('MEMBER.EXISTS')
    throw error
  }
}

export const setMemberRole = (
  db: PlatformDb,
  tenantId: string,
  userId: string,
  role: Role,
  at: Date,
) =>
  affectedBy(
    db,
    'update tenant_users set role = ?, updated_at = ? where tenant_id = ? and user_id = ?',
    [role, at, tenantId, userId],
  )

export const deleteMember = (db: PlatformDb, tenantId: string, userId: string) =>
  affectedBy(db, 'delete from tenant_users where tenant_id = ? and user_id = ?', [tenantId, userId])

/** As the API answers it and `--json` prints it. */
export const toMemberObject = (member: Member) => ({
  user_id: member.userId,
  email: member.email,
  name: member.name,
  role: member.role,
  status: member.isDisabled ? 'disabled' : 'active',
  created_at: member.createdAt,
})
