import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { parse } from '../parse.js'
import { addToken, loginTokenEnd, type MintedToken } from './create-token.js'
import { strengthenHash, verifyPassword } from './password.js'
import { DEFAULT_FORM, formOf, type HashForm } from './password-form.js'
import { emailSchema, type User } from './user.js'
import { findCredentials, listHashForms, lockUser, replacePasswordHash } from './user-store.js'

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
 * Makes a token for a user who knows the password. An unknown address, a wrong password and a disabled user
 * get the same answer in the same time.
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

const FORMS_KEPT_MS = 60_000
const knownForms = new WeakMap<
  PlatformDb,
  { readonly forms: readonly HashForm[]; readonly at: number }
>()

/** How the users' hashes are made, and how new ones are. Cached for a minute: reading them scans all users. */
async function hashFormsOf({ platform, config }: Context): Promise<readonly HashForm[]> {
  const known = knownForms.get(platform)
  if (known && performance.now() - known.at < FORMS_KEPT_MS) return known.forms
  const forms = [DEFAULT_FORM[config.passwordHash ?? 'bcrypt'], ...(await listHashForms(platform))]
  knownForms.set(platform, { forms, at: performance.now() })
  return forms
}

/** Whether a hash claims an algorithm that we check, but can't be checked. Other text means that the user has no password. */
const isUnusable = (hash: string): boolean => /^\$(2|argon2)/.test(hash) && !formOf(hash)

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
  const forms = await hashFormsOf(ctx)
  const matches = await verifyPassword(password, found?.passwordHash, forms)
  if (found?.passwordHash && isUnusable(found.passwordHash))
    ctx.log.warn(
      "a user's password hash is malformed or too costly to check, so the login fails: set a new password",
      { user: found.user.id },
    )
  if (!found?.passwordHash || !matches || found.user.disabledAt) {
    await sleep(TICK_MS - ((performance.now() - begun) % TICK_MS))
    throw new AppError('AUTH.INVALID_CREDENTIALS')
  }
  await attempts.forget(email)
  const { user, passwordHash } = found
  // the password is proven: if too many hashes wait, the old one stays until the next login
  const renewed = await strengthenHash(password, passwordHash).catch(() => passwordHash)
  if (renewed === undefined) return { user, passwordHash }
  if (
    renewed !== passwordHash &&
    (await replacePasswordHash(ctx.platform, user.id, passwordHash, renewed, ctx.now()))
  )
    return { user, passwordHash: renewed }
  return rereadProven(ctx, { user, passwordHash }, email, password)
}

/**
 * A concurrent login may have strengthened the hash meanwhile, or the password has changed.
 *
 * @throws AUTH.INVALID_CREDENTIALS
 */
async function rereadProven(
  { platform }: Context,
  proven: Proven,
  email: string,
  password: string,
): Promise<Proven> {
  const found = await findCredentials(platform, email)
  if (found?.passwordHash === proven.passwordHash) return proven
  if (
    !found?.passwordHash ||
    found.user.id !== proven.user.id ||
    !(await verifyPassword(password, found.passwordHash))
  )
    throw new AppError('AUTH.INVALID_CREDENTIALS')
  return { user: found.user, passwordHash: found.passwordHash }
}
