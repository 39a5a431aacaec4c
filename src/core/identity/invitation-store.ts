import type { PlatformDb } from '../db/connect.js'
import { affectedBy, insertRow, rowsOf } from '../db/statements.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import type { Role } from './roles.js'

export type Invitation = {
  readonly id: string
  readonly tenantId: string
  readonly email: string
  readonly role: Role
  readonly invitedBy: string
  /** Undefined where it was an operator. */
  readonly invitedByUserId: string | undefined
  readonly expiresAt: Date
  readonly acceptedAt: Date | undefined
  readonly revokedAt: Date | undefined
  readonly createdAt: Date
}

type Row = {
  id: string
  tenant_id: string
  email: string
  role: Role
  invited_by: string
  invited_by_user_id: number | string | null
  expires_at: Date
  accepted_at: Date | null
  revoked_at: Date | null
  created_at: Date
}

// never the hash
const COLUMNS =
  'id, tenant_id, email, role, invited_by, invited_by_user_id, expires_at, accepted_at, revoked_at, created_at'

const toInvitation = (row: Row): Invitation => ({
  id: row.id,
  tenantId: row.tenant_id,
  email: row.email,
  role: row.role,
  invitedBy: row.invited_by,
  invitedByUserId: row.invited_by_user_id === null ? undefined : String(row.invited_by_user_id),
  expiresAt: row.expires_at,
  acceptedAt: row.accepted_at ?? undefined,
  revokedAt: row.revoked_at ?? undefined,
  createdAt: row.created_at,
})

/** Newest first, a page at a time. */
export async function listInvitations(
  db: PlatformDb,
  tenantId: string,
  { beforeId, limit }: { readonly beforeId?: string | undefined; readonly limit: number },
): Promise<Invitation[]> {
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from invitations where tenant_id = ? and id < ? order by id desc limit ?`,
    [tenantId, beforeId ?? 'g', limit],
  )
  return rows.map(toInvitation)
}

/** An invitation of this tenant, locked until the transaction ends. */
export async function lockInvitation(
  db: PlatformDb,
  tenantId: string,
  id: string,
): Promise<Invitation | undefined> {
  const [row] = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from invitations where tenant_id = ? and id = ? for update`,
    [tenantId, id],
  )
  return row && toInvitation(row)
}

/** Those of one member that still let somebody in, locked until the transaction ends. */
export async function lockOpenInvitationsBy(
  db: PlatformDb,
  tenantId: string,
  userId: string,
): Promise<Invitation[]> {
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from invitations where tenant_id = ? and invited_by_user_id = ? and open_for is not null for update`,
    [tenantId, userId],
  )
  return rows.map(toInvitation)
}

export async function lockInvitationByHash(
  db: PlatformDb,
  hash: Buffer,
): Promise<Invitation | undefined> {
  const [row] = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from invitations where token_hash = ? for update`,
    [hash],
  )
  return row && toInvitation(row)
}

/** @throws INVITATION.EXISTS where one for the address is open: the unique index decides */
export async function insertInvitation(
  db: PlatformDb,
  invitation: Invitation,
  hash: Buffer,
): Promise<void> {
  // one that has ended unseen no longer stands for the address
  await affectedBy(
    db,
    'update invitations set open_for = null where tenant_id = ? and open_for = ? and expires_at <= ?',
    [invitation.tenantId, invitation.email, invitation.createdAt],
  )
  try {
    await insertRow(db, 'invitations', {
      id: invitation.id,
      tenant_id: invitation.tenantId,
      email: invitation.email,
      open_for: invitation.email,
      role: invitation.role,
      token_hash: hash,
      invited_by: invitation.invitedBy,
      invited_by_user_id: invitation.invitedByUserId ?? null,
      expires_at: invitation.expiresAt,
      created_at: invitation.createdAt,
      updated_at: invitation.createdAt,
    })
  } catch (error) {
    if (isFailure(error, 'duplicate')) throw new AppError('INVITATION.EXISTS', invitation.email)
    throw error
  }
}

export const closeInvitation = (
  db: PlatformDb,
  id: string,
  how: 'accepted_at' | 'revoked_at',
  at: Date,
) =>
  affectedBy(
    db,
    `update invitations set ${how} = ?, open_for = null, updated_at = ? where id = ?`,
    [at, at, id],
  )

export const isOpen = ({ acceptedAt, revokedAt, expiresAt }: Invitation, now: Date): boolean =>
  acceptedAt === undefined && revokedAt === undefined && expiresAt > now
