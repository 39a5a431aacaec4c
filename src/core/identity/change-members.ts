import { z } from 'zod'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'
import type { By } from '../events/event.js'
import { parse } from '../parse.js'
import { assertMatch, etagOfValue, type Preconditions } from '../preconditions.js'
import { closeInvitation, lockOpenInvitationsBy } from './invitation-store.js'
import {
  deleteMember,
  findMember,
  insertMember,
  listMembers,
  lockMembers,
  type Member,
  setMemberRole,
} from './member-store.js'
import { mayChangeMember, ROLES, type Role } from './roles.js'
import { emailSchema, type User, userIdSchema } from './user.js'
import { getUserByEmail } from './user-store.js'

export const roleSchema = z.enum(ROLES, `must be one of ${ROLES.join(', ')}`)

export const AddMemberInput = z.strictObject({
  user: emailSchema,
  role: roleSchema,
  /** Also one who came by an invitation, and whose address nobody has proven. */
  unverified: z.boolean().default(false),
})

/** The tenant, and what its member who asks is: an operator at the terminal may all. */
export type MembersOf = { readonly id: string; readonly askedBy?: Role | undefined }

/** Lets a user who exists into a tenant. @throws USER.NOT_FOUND, USER.UNVERIFIED, MEMBER.EXISTS */
export async function addMember(
  ctx: Context,
  { id: tenantId }: MembersOf,
  input: unknown,
): Promise<Member> {
  const { user: email, role, unverified } = parse(AddMemberInput, input)
  return inTransaction(ctx.platform, async (transaction) => {
    const user = await getUserByEmail(transaction, email)
    if (!user.isVerified && !unverified) throw new AppError('USER.UNVERIFIED', email)
    return addMembership(ctx, transaction, { tenantId, user, role })
  })
}

/** Writes a membership with its event, in the caller's transaction. @throws MEMBER.EXISTS */
export async function addMembership(
  ctx: By & Pick<Context, 'now'>,
  transaction: PlatformDb,
  { tenantId, user, role }: { readonly tenantId: string; readonly user: User; readonly role: Role },
): Promise<Member> {
  const at = ctx.now()
  await insertMember(transaction, { tenantId, userId: user.id, role }, at)
  await recordAudit(transaction, ctx, tenantId, {
    at,
    action: 'member.added',
    objectType: 'user',
    objectId: user.id,
    changes: { after: { email: user.email, role } },
  })
  return {
    userId: user.id,
    name: user.name,
    email: user.email,
    role,
    isDisabled: user.disabledAt !== undefined,
    createdAt: at,
  }
}

export const ChangeRoleInput = z.strictObject({ user_id: userIdSchema, role: roleSchema })

/**
 * Gives a member another role. The last owner stays one.
 *
 * @throws MEMBER.NOT_FOUND, MEMBER.LAST_OWNER, AUTH.INSUFFICIENT_PERMISSIONS
 */
export async function changeRole(
  ctx: Context,
  { id: tenantId, askedBy }: MembersOf,
  input: unknown,
  { ifMatch }: Preconditions = {},
): Promise<Member> {
  const { user_id, role } = parse(ChangeRoleInput, input)
  return inTransaction(ctx.platform, async (transaction) => {
    const members = await lockMembers(transaction, tenantId)
    const member = pick(members, user_id)
    assertMatch(ifMatch, etagOfMember(member))
    assertMayChange(askedBy, { from: member.role, to: role })
    if (member.role === role) return member
    if (member.role === 'owner') assertNotLastOwner(members, member)
    const at = ctx.now()
    await revokeInvitationsOf(ctx, transaction, tenantId, user_id, at)
    await setMemberRole(transaction, tenantId, user_id, role, at)
    await recordAudit(transaction, ctx, tenantId, {
      at,
      action: 'member.role_changed',
      objectType: 'user',
      objectId: user_id,
      changes: { before: { role: member.role }, after: { role } },
    })
    return { ...member, role }
  })
}

export const RemoveMemberInput = z.strictObject({ user_id: userIdSchema })

/**
 * Ends a membership; with the next request the user is a stranger here.
 *
 * @throws MEMBER.NOT_FOUND, MEMBER.LAST_OWNER, AUTH.INSUFFICIENT_PERMISSIONS
 */
export async function removeMember(
  ctx: Context,
  { id: tenantId, askedBy }: MembersOf,
  input: unknown,
  { ifMatch }: Preconditions = {},
): Promise<Member> {
  const { user_id } = parse(RemoveMemberInput, input)
  return inTransaction(ctx.platform, async (transaction) => {
    const members = await lockMembers(transaction, tenantId)
    const member = pick(members, user_id)
    assertMatch(ifMatch, etagOfMember(member))
    assertMayChange(askedBy, { from: member.role })
    if (member.role === 'owner') assertNotLastOwner(members, member)
    const at = ctx.now()
    await revokeInvitationsOf(ctx, transaction, tenantId, user_id, at)
    await deleteMember(transaction, tenantId, user_id)
    await recordAudit(transaction, ctx, tenantId, {
      at,
      action: 'member.removed',
      objectType: 'user',
      objectId: user_id,
      changes: { before: { email: member.email, role: member.role } },
    })
    return member
  })
}

/** Changes with the role. */
export const etagOfMember = ({ userId, role }: Member): string => etagOfValue([userId, role])

/** @throws MEMBER.NOT_FOUND */
export async function getMember(ctx: Context, tenantId: string, userId: string): Promise<Member> {
  const member = userIdSchema.safeParse(userId).success
    ? await findMember(ctx.platform, tenantId, userId)
    : undefined
  if (!member) throw new AppError('MEMBER.NOT_FOUND')
  return member
}

/** The member of that address. @throws MEMBER.NOT_FOUND */
export async function getMemberByEmail(
  ctx: Context,
  tenantId: string,
  email: string,
): Promise<Member> {
  const member = (await listMembers(ctx.platform, tenantId)).find(
    (each) => each.email.toLowerCase() === email.trim().toLowerCase(),
  )
  if (!member) throw new AppError('MEMBER.NOT_FOUND')
  return member
}

function pick(members: readonly Member[], userId: string): Member {
  const member = members.find((each) => each.userId === userId)
  if (!member) throw new AppError('MEMBER.NOT_FOUND')
  return member
}

function assertNotLastOwner(members: readonly Member[], leaving: Member): void {
  const others = members.filter(
    ({ role, isDisabled, userId }) => role === 'owner' && !isDisabled && userId !== leaving.userId,
  )
  if (others.length === 0) throw new AppError('MEMBER.LAST_OWNER')
}

/** Whoever leaves, or becomes somebody else, leaves no door open behind them. */
async function revokeInvitationsOf(
  ctx: Context,
  transaction: PlatformDb,
  tenantId: string,
  userId: string,
  at: Date,
): Promise<void> {
  for (const { id, email, role } of await lockOpenInvitationsBy(transaction, tenantId, userId)) {
    await closeInvitation(transaction, id, 'revoked_at', at)
    await recordAudit(transaction, ctx, tenantId, {
      at,
      action: 'invitation.revoked',
      objectType: 'invitation',
      objectId: id,
      changes: { before: { email, role } },
    })
  }
}

export function assertMayChange(
  askedBy: Role | undefined,
  change: { readonly from?: Role; readonly to?: Role },
): void {
  if (askedBy !== undefined && !mayChangeMember(askedBy, change))
    throw new AppError('AUTH.INSUFFICIENT_PERMISSIONS', askedBy)
}
