import { createHash } from 'node:crypto'
import { z } from 'zod'
import { addMilliseconds } from '../clock.js'
import type { Context } from '../context.js'
import { BASE62, randomText } from '../crypto/random-text.js'
import type { IdempotentResult } from '../db/idempotency.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'
import { newId } from '../ids.js'
import { parse, uuidSchema } from '../parse.js'
import { inPlatformChange } from '../tenants/platform-change.js'
import { assertMayChange, type MembersOf, roleSchema } from './change-members.js'
import {
  closeInvitation,
  type Invitation,
  insertInvitation,
  isOpen,
  lockInvitation,
} from './invitation-store.js'
import { listMembers } from './member-store.js'
import { emailSchema } from './user.js'

const DAY_MS = 86_400_000

export const InviteInput = z.strictObject({
  email: emailSchema,
  role: roleSchema,
  expires_in_days: z
    .number('must be a whole number')
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(90, 'must be at most 90')
    .default(7),
})

export type Invited = {
  readonly invitation: Invitation
  /** For the one who is invited; shown this once. */
  readonly token: string
}

/** Looked up by this: what is stored does not let anybody in. */
export const hashInvitationToken = (token: string): Buffer =>
  createHash('sha256').update(token).digest()

/**
 * Asks somebody to join. We send no mail: the token goes to whoever asks, to be handed on.
 *
 * @throws INVITATION.EXISTS, MEMBER.EXISTS, AUTH.INSUFFICIENT_PERMISSIONS
 */
export async function invite(
  ctx: Context,
  { id: tenantId, askedBy }: MembersOf,
  input: unknown,
  idempotencyKey?: string,
): Promise<IdempotentResult<Invited>> {
  const wish = parse(InviteInput, input)
  assertMayChange(askedBy, { to: wish.role })
  return inPlatformChange(
    ctx,
    tenantId,
    { operation: 'invitations.create', key: idempotencyKey, request: wish },
    async (transaction) => {
      const at = ctx.now()
      const members = await listMembers(transaction, tenantId)
      if (members.some(({ email }) => email.toLowerCase() === wish.email))
        throw new AppError('MEMBER.EXISTS')
      const token = `vxi_${randomText(BASE62, 40)}`
      const invitation: Invitation = {
        id: newId(),
        tenantId,
        email: wish.email,
        role: wish.role,
        invitedBy: ctx.actor.name,
        invitedByUserId: ctx.actor.type === 'user' ? ctx.actor.id : undefined,
        expiresAt: addMilliseconds(at, wish.expires_in_days * DAY_MS),
        acceptedAt: undefined,
        revokedAt: undefined,
        createdAt: at,
      }
      await insertInvitation(transaction, invitation, hashInvitationToken(token))
      await recordAudit(transaction, ctx, tenantId, {
        at,
        action: 'invitation.created',
        objectType: 'invitation',
        objectId: invitation.id,
        changes: { after: { email: wish.email, role: wish.role } },
      })
      return { invitation, token }
    },
  )
}

/** Takes an open invitation back. @throws INVITATION.NOT_FOUND, AUTH.INSUFFICIENT_PERMISSIONS */
export async function revokeInvitation(
  ctx: Context,
  { id: tenantId, askedBy }: MembersOf,
  id: unknown,
): Promise<Invitation> {
  const invitationId = parse(uuidSchema.catch(''), id)
  return inTransaction(ctx.platform, async (transaction) => {
    const at = ctx.now()
    const invitation = await lockInvitation(transaction, tenantId, invitationId)
    if (!invitation || !isOpen(invitation, at)) throw new AppError('INVITATION.NOT_FOUND')
    assertMayChange(askedBy, { to: invitation.role })
    await closeInvitation(transaction, invitation.id, 'revoked_at', at)
    await recordAudit(transaction, ctx, tenantId, {
      at,
      action: 'invitation.revoked',
      objectType: 'invitation',
      objectId: invitation.id,
      changes: { before: { email: invitation.email, role: invitation.role } },
    })
    return { ...invitation, revokedAt: at }
  })
}
