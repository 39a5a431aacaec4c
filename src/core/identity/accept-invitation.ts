import { z } from 'zod'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import { addMembership } from './change-members.js'
import { addToken, loginTokenEnd, type MintedToken } from './create-token.js'
import { addUser } from './create-user.js'
import {
  closeInvitation,
  type Invitation,
  isOpen,
  lockInvitationByHash,
} from './invitation-store.js'
import { hashInvitationToken } from './invite.js'
import { checkCredentials, holdProven, type LoginAttempts } from './log-in.js'
import { hashPassword } from './password.js'
import { newPasswordSchema, type User, userNameSchema } from './user.js'
import { findUserByEmail } from './user-store.js'

export const AcceptInvitationInput = z.strictObject({
  token: z.string('must be text').regex(/^vxi_[0-9A-Za-z]{40}$/, 'is no invitation'),
  /** Of a new user; one who is known keeps theirs. */
  name: userNameSchema,
  /** The user's own; of a new user, the one to be. */
  password: newPasswordSchema,
})

/**
 * Makes a member of who holds an invitation: the user of that address, who proves it by the password, or a
 * new one. Answers with a token, as a login does. An invitation lets one in once. That the address is theirs nobody
 * has seen: the invitation went through the hands of who made it.
 *
 * @throws INVITATION.NOT_FOUND, AUTH.INVALID_CREDENTIALS, AUTH.ACCOUNT_LOCKED, MEMBER.EXISTS
 */
export async function acceptInvitation(
  ctx: Context,
  attempts: LoginAttempts,
  input: unknown,
): Promise<MintedToken & { readonly user: User }> {
  const { token, name, password } = parse(AcceptInvitationInput, input)
  const hash = hashInvitationToken(token)
  const { email } = await getOpen(ctx, ctx.platform, hash)
  // hashing takes longer than a transaction should
  const proven = (await findUserByEmail(ctx.platform, email))
    ? await checkCredentials(ctx, attempts, email, password)
    : undefined
  const passwordHash = proven ? '' : await hashPassword(password, ctx.config.passwordHash)
  return inTransaction(ctx.platform, async (transaction) => {
    const { id, tenantId, role } = await getOpen(ctx, transaction, hash)
    if (proven) await holdProven(transaction, proven)
    const themselves = (user: User) =>
      ({ ...ctx.actor, type: 'user', id: user.id, name: user.email }) as const
    const fresh = { email, name, passwordHash, isVerified: false }
    const user = proven?.user ?? (await addUser(ctx, transaction, fresh, themselves))
    const at = ctx.now()
    const acting = { ...ctx, actor: themselves(user) }
    await addMembership(acting, transaction, { tenantId, user, role })
    await closeInvitation(transaction, id, 'accepted_at', at)
    await recordAudit(transaction, acting, tenantId, {
      at,
      action: 'invitation.accepted',
      objectType: 'invitation',
      objectId: id,
      changes: { after: { email, role } },
    })
    const minted = await addToken(acting, transaction, user, {
      name: 'invitation',
      abilities: ['tenant'],
      expiresAt: loginTokenEnd(ctx),
    })
    return { ...minted, user }
  })
}

async function getOpen(ctx: Context, db: PlatformDb, hash: Buffer): Promise<Invitation> {
  const invitation = await lockInvitationByHash(db, hash)
  if (!invitation || !isOpen(invitation, ctx.now())) throw new AppError('INVITATION.NOT_FOUND')
  return invitation
}
