import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { parse } from '../parse.js'
import { addToken, loginTokenEnd, type MintedToken } from './create-token.js'
import { hashPassword, verifyPassword } from './password.js'
import { emailSchema, type User } from './user.js'
import { findBcryptCost, findCredentials, lockUser, replacePasswordHash } from './user-store.js'

/** A failed login is answered at the next of these ticks: how long a look-up took is not to be seen. */
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
    .refine((text) => !/\p{Cs}/u.test(text), 'must be text')
    .default('login'),
})

/** Counts attempts, and forgets them when one was right. */
export type LoginAttempts = {
  /** @throws AUTH.ACCOUNT_LOCKED where there were too many */
  count(email: string): Promise<void>
  forget(email: string): Promise<void>
}

/** Who knows the password, and the hash that was held against it. */
export type Proven = { readonly user: User; readonly passwordHash: string }

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
  const proven = await checkCredentials(ctx, attempts, email, password)
  const { user } = proven
  const actor = { ...ctx.actor, type: 'user', id: user.id, name: user.email } as const
  const minted = await inTransaction(ctx.platform, async (transaction) => {
    await holdProven(transaction, proven)
    return addToken({ ...ctx, actor }, transaction, user, {
      name: device_name,
      abilities: ['tenant'],
      expiresAt: loginTokenEnd(ctx),
    })
  })
  return { ...minted, user }
}

/**
 * What was proven must still be so when the token is written: not beside a change of the password, or a
 * disabling, that ends all tokens.
 *
 * @throws AUTH.INVALID_CREDENTIALS
 */
export async function holdProven(
  transaction: PlatformDb,
  { user, passwordHash }: Proven,
): Promise<void> {
  const held = await lockUser(transaction, user.id)
  if (!held || held.isDisabled || held.passwordHash !== passwordHash)
    throw new AppError('AUTH.INVALID_CREDENTIALS')
}

const COST_KEPT_MS = 60_000
const costs = new WeakMap<PlatformDb, { readonly cost: number | undefined; readonly at: number }>()

/** Users with bcrypt become fewer, a login at a time: that there are some is asked once a minute. */
async function bcryptCostOf(platform: PlatformDb): Promise<number | undefined> {
  const known = costs.get(platform)
  if (known && performance.now() - known.at < COST_KEPT_MS) return known.cost
  const cost = await findBcryptCost(platform)
  costs.set(platform, { cost, at: performance.now() })
  return cost
}

/** @throws AUTH.INVALID_CREDENTIALS, AUTH.ACCOUNT_LOCKED */
export async function checkCredentials(
  ctx: Context,
  attempts: LoginAttempts,
  email: string,
  password: string,
): Promise<Proven> {
  await attempts.count(email)
  const begun = performance.now()
  const found = await findCredentials(ctx.platform, email)
  const bcryptCost = await bcryptCostOf(ctx.platform)
  const { matches, isOutdated } = await verifyPassword(password, found?.passwordHash, bcryptCost)
  if (!found?.passwordHash || !matches || found.user.disabledAt) {
    await sleep(TICK_MS - ((performance.now() - begun) % TICK_MS))
    throw new AppError('AUTH.INVALID_CREDENTIALS')
  }
  await attempts.forget(email)
  const { user, passwordHash } = found
  if (!isOutdated) return { user, passwordHash }
  const renewed = await hashPassword(password)
  const isReplaced = await replacePasswordHash(
    ctx.platform,
    user.id,
    passwordHash,
    renewed,
    ctx.now(),
  )
  return { user, passwordHash: isReplaced ? renewed : passwordHash }
}
