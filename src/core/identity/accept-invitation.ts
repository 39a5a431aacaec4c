import { z } from 'zod'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import { addToken, loginTokenEnd, type MintedToken } from './create-token.js'
import { addUser } from './create-user.js'
import {
  closeInvitation,
  type Invitation,
  isOpen,
  lockInvitationByHash,
} from './invitation-store.js'
import { hashInvitationToken } from './invite.js'
import { checkCredentials, type LoginAttempts } from './log-in.js'
import { insertMember } from './member-store.js'
import { hashPassword } from './password.js'
import { newPasswordSchema, type User, userNameSchema } from './user.js'
import { findUserByEmail } from './user-store.js'

export const AcceptInvitationInput = z.strictObject({
  token: z.string('must be text').regex(/^vxi_[0-9A-Za-z]{40}$/, 'is no invitation'),
  /** Of a new user: an invited address that nobody has gets one. */
  name: userNameSchema.optional(),
  /** The user's own; of a new user, the one to be. */
  password: z
    .string('must be text')
    .min(1, 'must not be empty')
    .max(256, 'must be at most 256 characters'),
})

/**
 * Makes a member of who holds an invitation: the user of that address, who proves it by the password, or a
 * new one. Answers with a token, as a login does. An invitation lets one in once.
 *
 * @throws INVITATION.NOT_FOUND, VALIDATION.FAILED, AUTH.INVALID_CREDENTIALS, AUTH.ACCOUNT_LOCKED, MEMBER.EXISTS
 */
export async function acceptInvitation(
  ctx: Context,
  attempts: LoginAttempts,
  input: unknown,
): Promise<MintedToken & { readonly user: User }> {
  const { token, name, password } = parse(AcceptInvitationInput, input)
  const hash = hashInvitationToken(token)
  const { email } = await getOpen(ctx, ctx.platform, hash)
  const known = await findUserByEmail(ctx.platform, email)
  // hashing takes longer than a transaction should
  if (known) await checkCredentials(ctx, attempts, email, password)
  const passwordHash = known ? '' : await hashPassword(parseNew(password, name))
  return inTransaction(ctx.platform, async (transaction) => {
    const invitation = await getOpen(ctx, transaction, hash)
    const by = known ? { type: 'user' as const, id: known.id, name: known.email } : ctx.actor
    const user =
      known ??
      (await addUser({ ...ctx, actor: by }, transaction, {
        email,
        name: name ?? '',
        passwordHash,
      }))
    const at = ctx.now()
    const acting = { ...ctx, actor: { type: 'user' as const, id: user.id, name: user.email } }
    const { tenantId, role } = invitation
    await insertMember(transaction, { tenantId, userId: user.id, role }, at)
    await closeInvitation(transaction, invitation.id, 'accepted_at', at)
    await recordAudit(transaction, acting, tenantId, {
      at,
      action: 'invitation.accepted',
      objectType: 'invitation',
      objectId: invitation.id,
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

const NewUser = z.object({ name: userNameSchema, password: newPasswordSchema })

const parseNew = (password: string, name: string | undefined): string =>
  parse(NewUser, { name, password }).password
