import { z } from 'zod'
import { addMilliseconds } from '../clock.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'
import { instantSchema, parse } from '../parse.js'
import { hashTokenSecret, mintTokenSecret, TOKEN_ABILITIES, type Token } from './token.js'
import { deleteToken, insertToken, lockToken } from './token-store.js'
import { emailSchema, type User, userIdSchema } from './user.js'
import { getUserByEmail, lockUser } from './user-store.js'

export const CreateTokenInput = z.strictObject({
  user: emailSchema,
  name: z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(255, 'must be at most 255 characters')
    .default('cli'),
  abilities: z
    .array(z.enum(TOKEN_ABILITIES, `must be among ${TOKEN_ABILITIES.join(', ')}`))
    .min(1, 'must name at least one ability')
    .default(['tenant']),
  expires_at: instantSchema.optional(),
})

/** A token and, this one time, its text: what is stored is a hash. */
export type MintedToken = { readonly token: Token; readonly plainText: string }

/**
 * Makes a token.
 *
 * @param deliver shows it, the only time that this can be done; if it fails, the token is revoked
 * @throws USER.NOT_FOUND, USER.DISABLED
 */
export async function createToken(
  ctx: Context,
  input: unknown,
  deliver: (minted: MintedToken) => Promise<void> = async () => {},
): Promise<MintedToken> {
  const { user: email, name, abilities, expires_at } = parse(CreateTokenInput, input)
  if (expires_at && expires_at <= ctx.now()) {
    throw new AppError('VALIDATION.FAILED').with({ expires_at: ['must be in the future'] })
  }
  const user = await getUserByEmail(ctx.platform, email)
  const minted = await inTransaction(ctx.platform, async (transaction) => {
    if ((await lockUser(transaction, user.id))?.isDisabled !== false)
      throw new AppError('USER.DISABLED', email)
    return addToken(ctx, transaction, user, { name, abilities, expiresAt: expires_at })
  })
  try {
    await deliver(minted)
  } catch (error) {
    const { id } = minted.token
    await revokeToken(ctx, { id }).catch((failure: unknown) =>
      ctx.log.error('a token that could not be shown could not be revoked either: revoke it', {
        tokenId: id,
        error: failure,
      }),
    )
    throw error
  }
  return minted
}

/** Mints a token and writes it with its audit row, in the caller's transaction. */
export async function addToken(
  ctx: Context,
  transaction: PlatformDb,
  user: Pick<User, 'id' | 'email'>,
  of: {
    readonly name: string
    readonly abilities: readonly string[]
    readonly expiresAt: Date | undefined
  },
): Promise<MintedToken> {
  const at = ctx.now()
  const secret = mintTokenSecret()
  const id = await insertToken(
    transaction,
    {
      ...of,
      tokenableType: ctx.config.tokenableUser,
      tokenableId: user.id,
      hash: hashTokenSecret(secret),
    },
    at,
  )
  await recordAudit(transaction, ctx, null, {
    at,
    action: 'token.created',
    objectType: 'token',
    objectId: id,
    changes: { after: { user: user.email, name: of.name, abilities: of.abilities } },
  })
  return {
    token: { id, ...of, lastUsedAt: undefined, createdAt: at },
    plainText: `${id}|${secret}`,
  }
}

/** When a token that a login makes ends. */
export const loginTokenEnd = (ctx: Context): Date =>
  addMilliseconds(ctx.now(), ctx.config.loginTokenLifetime * 60_000)

export const RevokeTokenInput = z.strictObject({ id: userIdSchema })

/**
 * Ends a token: the row is gone, as Laravel has it, and the next request with it is refused.
 *
 * @throws TOKEN.NOT_FOUND
 */
export async function revokeToken(ctx: Context, input: unknown): Promise<Token> {
  const { id } = parse(RevokeTokenInput, input)
  return inTransaction(ctx.platform, async (transaction) => {
    const token = await lockToken(transaction, id)
    if (!token) throw new AppError('TOKEN.NOT_FOUND', id)
    await deleteToken(transaction, id)
    await recordAudit(transaction, ctx, null, {
      at: ctx.now(),
      action: 'token.revoked',
      objectType: 'token',
      objectId: id,
      changes: { before: { user_id: token.tokenableId, name: token.name } },
    })
    return token
  })
}
