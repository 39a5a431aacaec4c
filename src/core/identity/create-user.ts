import { z } from 'zod'
import type { Actor } from '../actor.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { recordAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import { hashPassword } from './password.js'
import { emailSchema, newPasswordSchema, type User, userNameSchema } from './user.js'
import { insertUser } from './user-store.js'

export const CreateUserInput = z.strictObject({
  email: emailSchema,
  name: userNameSchema,
  password: newPasswordSchema,
})

/** @throws USER.EXISTS */
export async function createUser(ctx: Context, input: unknown): Promise<User> {
  const { password, ...of } = parse(CreateUserInput, input)
  const passwordHash = await hashPassword(password, ctx.config.passwordHash)
  return inTransaction(ctx.platform, (transaction) =>
    addUser(ctx, transaction, { ...of, passwordHash, isVerified: true }),
  )
}

/**
 * Writes a user with the audit row, in the caller's transaction.
 *
 * @param actorOf who made them, where that is not who is at work: themselves
 * @throws USER.EXISTS
 */
export async function addUser(
  ctx: Context,
  transaction: PlatformDb,
  of: {
    readonly email: string
    readonly name: string
    /** Absent for a user who can't log in until an operator sets a password. */
    readonly passwordHash?: string | undefined
    readonly isVerified: boolean
  },
  actorOf: (user: User) => Actor = () => ctx.actor,
): Promise<User> {
  const at = ctx.now()
  const user = await insertUser(transaction, of, at)
  await recordAudit(transaction, { ...ctx, actor: actorOf(user) }, null, {
    at,
    action: 'user.created',
    objectType: 'user',
    objectId: user.id,
    changes: { after: { email: user.email, name: user.name } },
  })
  return user
}
