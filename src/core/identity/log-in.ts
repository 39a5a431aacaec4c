import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Context } from '../context.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { parse } from '../parse.js'
import { addToken, loginTokenEnd, type MintedToken } from './create-token.js'
import { hashPassword, verifyPassword } from './password.js'
import { emailSchema, type User } from './user.js'
import { findCredentials, replacePasswordHash } from './user-store.js'

/** A failed login is answered at the next of these ticks: how long a hash took is not to be seen. */
const TICK_MS = 500

export const LogInInput = z.strictObject({
  email: emailSchema,
  password: z
    .string('must be text')
    .min(1, 'must not be empty')
    .max(256, 'must be at most 256 characters'),
  /** What the token is called in the user's list. */
  device_name: z
    .string('must be text')
    .trim()
    .min(1, 'must not be empty')
    .max(255, 'must be at most 255 characters')
    .default('login'),
})

/** Counts attempts, and forgets them when one was right. */
export type LoginAttempts = {
  /** @throws AUTH.ACCOUNT_LOCKED where there were too many */
  count(email: string): Promise<void>
  forget(email: string): Promise<void>
}

/**
 * A token for who knows the password. An unknown address, a wrong password, and a user who is disabled are
 * answered alike and in the same time. A hash that Laravel made with bcrypt is replaced by one of ours.
 *
 * @throws AUTH.INVALID_CREDENTIALS, AUTH.ACCOUNT_LOCKED
 */
export async function logIn(
  ctx: Context,
  attempts: LoginAttempts,
  input: unknown,
): Promise<MintedToken & { readonly user: User }> {
  const { email, password, device_name } = parse(LogInInput, input)
  const user = await checkCredentials(ctx, attempts, email, password)
  const actor = { type: 'user', id: user.id, name: user.email } as const
  const minted = await inTransaction(ctx.platform, (transaction) =>
    addToken({ ...ctx, actor }, transaction, user, {
      name: device_name,
      abilities: ['tenant'],
      expiresAt: loginTokenEnd(ctx),
    }),
  )
  return { ...minted, user }
}

/** @throws AUTH.INVALID_CREDENTIALS, AUTH.ACCOUNT_LOCKED */
export async function checkCredentials(
  ctx: Context,
  attempts: LoginAttempts,
  email: string,
  password: string,
): Promise<User> {
  await attempts.count(email)
  const begun = performance.now()
  const found = await findCredentials(ctx.platform, email)
  const { matches, isOutdated } = await verifyPassword(password, found?.passwordHash)
  if (!found || !matches || found.user.disabledAt) {
    await sleep(TICK_MS - ((performance.now() - begun) % TICK_MS))
    throw new AppError('AUTH.INVALID_CREDENTIALS')
  }
  await attempts.forget(email)
  if (isOutdated && found.passwordHash !== undefined) {
    const renewed = await hashPassword(password)
    await replacePasswordHash(ctx.platform, found.user.id, found.passwordHash, renewed, ctx.now())
  }
  return found.user
}
