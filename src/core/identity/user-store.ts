import type { PlatformDb } from '../db/connect.js'
import { affectedBy, rowsOf } from '../db/statements.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { formOf, type HashForm } from './password-form.js'
import type { User } from './user.js'

type Row = {
  id: number | string
  name: string
  email: string
  email_verified_at: Date | null
  disabled_at: Date | null
  created_at: Date | null
}

// never the password
const COLUMNS = 'id, name, email, email_verified_at, disabled_at, created_at'

const toUser = (row: Row): User => ({
  id: String(row.id),
  name: row.name,
  email: row.email,
  isVerified: row.email_verified_at !== null,
  disabledAt: row.disabled_at ?? undefined,
  createdAt: row.created_at ?? undefined,
})

const BY_EMAIL = `select ${COLUMNS} from users where email = ? and deleted_at is null`

/** Users that Laravel has soft-deleted do not exist here. */
export const findUserByEmail = (db: PlatformDb, email: string): Promise<User | undefined> =>
  readByEmail(db, BY_EMAIL, email)

/** The same, locked until the transaction ends; sees also a user who was made since it began. */
export const lockUserByEmail = (db: PlatformDb, email: string): Promise<User | undefined> =>
  readByEmail(db, `${BY_EMAIL} for update`, email)

async function readByEmail(db: PlatformDb, sql: string, email: string): Promise<User | undefined> {
  const [row] = await rowsOf<Row>(db, sql, [email])
  // the column's collation takes accents for nothing
  return row && row.email.toLowerCase() === email ? toUser(row) : undefined
}

/** @throws USER.NOT_FOUND */
export async function getUserByEmail(db: PlatformDb, given: string): Promise<User> {
  const email = given.trim().toLowerCase()
  const user = await findUserByEmail(db, email)
  if (!user) throw new AppError('USER.NOT_FOUND', email)
  return user
}

/** What a login is checked against; the hash goes nowhere else. */
export async function findCredentials(
  db: PlatformDb,
  email: string,
): Promise<{ readonly user: User; readonly passwordHash: string | undefined } | undefined> {
  const [row] = await rowsOf<Row & { password: string | null }>(
    db,
    `select ${COLUMNS}, password from users where email = ? and deleted_at is null`,
    [email],
  )
  if (!row || row.email.toLowerCase() !== email) return undefined
  return { user: toUser(row), passwordHash: row.password ?? undefined }
}

export type UserFilter = { readonly afterId?: string | undefined; readonly limit: number }

/** By id, a page at a time. */
export async function listUsers(
  db: PlatformDb,
  { afterId = '0', limit }: UserFilter,
): Promise<User[]> {
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from users where deleted_at is null and id > ? order by id limit ?`,
    [afterId, limit],
  )
  return rows.map(toUser)
}

/** @throws USER.EXISTS: the unique index decides */
export async function insertUser(
  db: PlatformDb,
  user: {
    readonly name: string
    readonly email: string
    readonly passwordHash?: string | undefined
    readonly isVerified: boolean
  },
  at: Date,
): Promise<User> {
  try {
    const [id] = await db('users').insert({
      name: user.name,
      email: user.email,
      email_verified_at: user.isVerified ? at : null,
      password: user.passwordHash ?? null,
      created_at: at,
      updated_at: at,
    })
    return {
      id: String(id),
      name: user.name,
      email: user.email,
      isVerified: user.isVerified,
      disabledAt: undefined,
      createdAt: at,
    }
  } catch (error) {
    if (isFailure(error, 'duplicate')) throw new AppError('USER.EXISTS', user.email)
    throw error
  }
}

/** Sets another hash where the old one still stands: of two at once neither overwrites a new password. */
export const replacePasswordHash = async (
  db: PlatformDb,
  userId: string,
  from: string,
  to: string,
  at: Date,
): Promise<boolean> =>
  (await affectedBy(
    db,
    'update users set password = ?, updated_at = ? where id = ? and password = ?',
    [to, at, userId, from],
  )) === 1

/** By an operator, who thereby stands for the address. */
export const setPasswordHash = (db: PlatformDb, userId: string, hash: string, at: Date) =>
  affectedBy(
    db,
    'update users set password = ?, email_verified_at = coalesce(email_verified_at, ?), updated_at = ? where id = ?',
    [hash, at, at, userId],
  )

/**
 * Holds a user until the transaction ends, so that no token is made beside a change of the password or a
 * disabling. Undefined where the user is gone.
 */
export async function lockUser(
  db: PlatformDb,
  userId: string,
): Promise<
  { readonly passwordHash: string | undefined; readonly isDisabled: boolean } | undefined
> {
  const [row] = await rowsOf<{ password: string | null; disabled_at: Date | null }>(
    db,
    'select password, disabled_at from users where id = ? and deleted_at is null for update',
    [userId],
  )
  return row && { passwordHash: row.password ?? undefined, isDisabled: row.disabled_at !== null }
}

/** The distinct algorithms and parameters of all users' hashes. */
export async function listHashForms(db: PlatformDb): Promise<HashForm[]> {
  const rows = await rowsOf<{ form: string }>(
    db,
    `select distinct substring_index(password, '$', if(password like '$2%', 3, 4)) as form
     from users where password like '$2%' or password like '$argon2%'`,
  )
  return rows.flatMap(({ form }) => formOf(form) ?? [])
}

/** Answers false where it was so already. */
export const setDisabled = async (
  db: PlatformDb,
  userId: string,
  disabledAt: Date | null,
  at: Date,
): Promise<boolean> =>
  (await affectedBy(
    db,
    `update users set disabled_at = ?, updated_at = ? where id = ? and disabled_at is ${disabledAt ? '' : 'not '}null`,
    [disabledAt, at, userId],
  )) === 1
