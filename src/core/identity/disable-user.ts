import { z } from 'zod'
import type { Context } from '../context.js'
import { inTransaction } from '../db/transaction.js'
import { recordAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import { deleteTokensOf } from './token-store.js'
import { emailSchema, type User } from './user.js'
import { getUserByEmail, setDisabled } from './user-store.js'

export const DisableUserInput = z.strictObject({ user: emailSchema })

export type Disabled = { readonly user: User; readonly tokensRevoked: number }

/**
 * Closes the door to a user: no login, and all tokens are gone. One who is disabled already is left.
 *
 * @throws USER.NOT_FOUND
 */
export async function disableUser(ctx: Context, input: unknown): Promise<Disabled> {
  const { user: email } = parse(DisableUserInput, input)
  return inTransaction(ctx.platform, async (transaction) => {
    const user = await getUserByEmail(transaction, email)
    const at = ctx.now()
    if (!(await setDisabled(transaction, user.id, at, at))) return { user, tokensRevoked: 0 }
    const tokensRevoked = await deleteTokensOf(transaction, ctx.config.tokenableUser, user.id)
    await recordAudit(transaction, ctx, null, {
      at,
      action: 'user.disabled',
      objectType: 'user',
      objectId: user.id,
      changes: { after: { tokens_revoked: tokensRevoked } },
    })
    return { user: { ...user, disabledAt: at }, tokensRevoked }
  })
}

/** Opens it again. Tokens have to be made anew. @throws USER.NOT_FOUND */
export async function enableUser(ctx: Context, input: unknown): Promise<User> {
  const { user: email } = parse(DisableUserInput, input)
  return inTransaction(ctx.platform, async (transaction) => {
    const user = await getUserByEmail(transaction, email)
    const at = ctx.now()
    if (await setDisabled(transaction, user.id, null, at)) {
      await recordAudit(transaction, ctx, null, {
        at,
        action: 'user.enabled',
        objectType: 'user',
        objectId: user.id,
      })
    }
    return { ...user, disabledAt: undefined }
  })
}
