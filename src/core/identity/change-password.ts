import { z } from 'zod'
import type { Context } from '../context.js'
import { inTransaction } from '../db/transaction.js'
import { recordAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import type { Disabled } from './disable-user.js'
import { hashPassword } from './password.js'
import { deleteTokensOf } from './token-store.js'
import { emailSchema, newPasswordSchema } from './user.js'
import { findCredentials, getUserByEmail, setPasswordHash } from './user-store.js'

export const ChangePasswordInput = z.strictObject({
  user: emailSchema,
  password: newPasswordSchema,
})

/**
 * Sets another password and revokes all of the user's tokens. Keeps the algorithm of the old hash unless one
 * is configured.
 *
 * @throws USER.NOT_FOUND
 */
export async function changePassword(ctx: Context, input: unknown): Promise<Disabled> {
  const { user: email, password } = parse(ChangePasswordInput, input)
  // hashing takes longer than a transaction should
  const replaced = (await findCredentials(ctx.platform, email))?.passwordHash
  const hash = await hashPassword(password, ctx.config.passwordHash, replaced)
  return inTransaction(ctx.platform, async (transaction) => {
    const user = await getUserByEmail(transaction, email)
    const at = ctx.now()
    await setPasswordHash(transaction, user.id, hash, at)
    const tokensRevoked = await deleteTokensOf(transaction, ctx.config.tokenableUser, user.id)
    await recordAudit(transaction, ctx, null, {
      at,
      action: 'user.password_changed',
      objectType: 'user',
      objectId: user.id,
      changes: { after: { tokens_revoked: tokensRevoked } },
    })
    return { user, tokensRevoked }
  })
}
