import type { PlatformDb } from '../db/connect.js'
import { affectedBy, rowsOf } from '../db/statements.js'
import type { TenantStatus } from '../tenants/tenant.js'
import { ROLES, type Role } from './roles.js'
import { readAbilities, type Token } from './token.js'

type Row = {
  id: number | string
  name: string
  abilities: unknown
  last_used_at: Date | null
  expires_at: Date | null
  created_at: Date | null
}

// never the hash
const COLUMNS = ['id', 'name', 'abilities', 'last_used_at', 'expires_at', 'created_at'] as const

const toToken = (row: Row): Token => ({
  id: String(row.id),
  name: row.name,
  abilities: readAbilities(row.abilities),
  lastUsedAt: row.last_used_at ?? undefined,
  expiresAt: row.expires_at ?? undefined,
  createdAt: row.created_at ?? undefined,
})

/** What a token belongs to, by the names that Laravel's morph map has for them. */
export type TokenableTypes = { readonly user: string; readonly admin: string }

/** A person as the row of a token leads to them. */
export type Person = { readonly id: string; readonly name: string; readonly email: string }

/** A membership with what it takes to enter the tenant. */
export type Membership = {
  readonly role: Role
  readonly tenant: {
    readonly id: string
    readonly slug: string
    readonly name: string
    readonly status: TenantStatus
    readonly database: string
    readonly serverId: string
    readonly credentialsKeyId: string
    readonly credentialsGeneration: number
  }
}

/** What decides whether a request with a token may pass, and where to: read together. */
export type TokenStanding = {
  readonly token: Token
  readonly hash: string
  readonly type: string
  /** Undefined where they are gone, deleted or disabled, or where the type is none of ours. */
  readonly user: Person | undefined
  readonly admin: Person | undefined
  readonly memberships: readonly Membership[]
}

type StandingRow = Row & {
  token: string
  tokenable_type: string
  user_id: number | string | null
  user_name: string
  user_email: string
  admin_id: number | string | null
  admin_name: string
  admin_email: string
  role: string | null
  tenant_id: string
  slug: string
  tenant_name: string
  status: TenantStatus
  database_name: string
  server_id: string
  credentials_key_id: string
  credentials_generation: number
}

const MEMBERSHIP = `tenant_users.role, tenants.id as tenant_id, tenants.slug, tenants.name as tenant_name,
    tenants.status, tenants.database_name, tenants.server_id, tenants.credentials_key_id, tenants.credentials_generation`

const STANDING = `select ${COLUMNS.map((column) => `tokens.${column}`).join(', ')}, tokens.token, tokens.tokenable_type,
    users.id as user_id, users.name as user_name, users.email as user_email,
    admins.id as admin_id, admins.name as admin_name, admins.email as admin_email, ${MEMBERSHIP}
  from personal_access_tokens tokens
    left join users on users.id = tokens.tokenable_id and tokens.tokenable_type = ?
      and users.deleted_at is null and users.disabled_at is null
    left join admins on admins.id = tokens.tokenable_id and tokens.tokenable_type = ?
      and admins.deleted_at is null and admins.disabled_at is null
    left join tenant_users on tenant_users.user_id = users.id
    left join tenants on tenants.id = tenant_users.tenant_id`

/** By the id that stands before the `|`, or, for those that have none, by the hash. One statement. */
export async function findTokenStanding(
  db: PlatformDb,
  by: { readonly id: string } | { readonly hash: string },
  types: TokenableTypes,
): Promise<TokenStanding | undefined> {
  const [where, value] = 'id' in by ? ['tokens.id = ?', by.id] : ['tokens.token = ?', by.hash]
  const rows = await rowsOf<StandingRow>(
    db,
    `${STANDING} where ${where} order by tenant_users.id`,
    [types.user, types.admin, value],
  )
  const [first] = rows
  if (!first) return undefined
  // the column's collation takes types for one that differ in case
  const [isUser, isAdmin] = [
    first.tokenable_type === types.user,
    first.tokenable_type === types.admin,
  ]
  return {
    token: toToken(first),
    hash: first.token,
    type: first.tokenable_type,
    user:
      isUser && first.user_id !== null
        ? { id: String(first.user_id), name: first.user_name, email: first.user_email }
        : undefined,
    admin:
      isAdmin && first.admin_id !== null
        ? { id: String(first.admin_id), name: first.admin_name, email: first.admin_email }
        : undefined,
    memberships: isUser ? rows.flatMap(toMembership) : [],
  }
}

/** Where a user belongs. */
export async function listMemberships(db: PlatformDb, userId: string): Promise<Membership[]> {
  const rows = await rowsOf<StandingRow>(
    db,
    `select ${MEMBERSHIP} from tenant_users join tenants on tenants.id = tenant_users.tenant_id
      where tenant_users.user_id = ? order by tenant_users.id`,
    [userId],
  )
  return rows.flatMap(toMembership)
}

function toMembership(row: StandingRow): Membership[] {
  const role = ROLES.find((each) => each === row.role)
  // a role that is none of ours opens nothing
  if (role === undefined) return []
  return [
    {
      role,
      tenant: {
        id: row.tenant_id,
        slug: row.slug,
        name: row.tenant_name,
        status: row.status,
        database: row.database_name,
        serverId: row.server_id,
        credentialsKeyId: row.credentials_key_id,
        credentialsGeneration: row.credentials_generation,
      },
    },
  ]
}

export type NewToken = {
  readonly tokenableType: string
  readonly tokenableId: string
  readonly name: string
  readonly hash: string
  readonly abilities: readonly string[]
  readonly expiresAt: Date | undefined
}

/** Answers its id. */
export async function insertToken(db: PlatformDb, token: NewToken, at: Date): Promise<string> {
  const [id] = await db('personal_access_tokens').insert({
    tokenable_type: token.tokenableType,
    tokenable_id: token.tokenableId,
    name: token.name,
    token: token.hash,
    abilities: JSON.stringify(token.abilities),
    expires_at: token.expiresAt ?? null,
    created_at: at,
    updated_at: at,
  })
  return String(id)
}

export async function listTokens(
  db: PlatformDb,
  tokenableType: string,
  tokenableId: string,
): Promise<Token[]> {
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS.join(', ')} from personal_access_tokens where tokenable_type = ? and tokenable_id = ? order by id`,
    [tokenableType, tokenableId],
  )
  return rows.map(toToken)
}

/** A token and whose it is, locked until the transaction ends. */
export async function lockToken(
  db: PlatformDb,
  id: string,
): Promise<(Token & { readonly tokenableId: string }) | undefined> {
  const [row] = await rowsOf<Row & { tokenable_id: number | string }>(
    db,
    `select ${COLUMNS.join(', ')}, tokenable_id from personal_access_tokens where id = ? for update`,
    [id],
  )
  return row && { ...toToken(row), tokenableId: String(row.tokenable_id) }
}

/** Revoked tokens are gone, as Laravel has it. */
export const deleteToken = async (db: PlatformDb, id: string): Promise<boolean> =>
  (await affectedBy(db, 'delete from personal_access_tokens where id = ?', [id])) === 1

/** Ends all tokens of one holder. Answers how many there were. */
export const deleteTokensOf = (
  db: PlatformDb,
  tokenableType: string,
  tokenableId: string,
): Promise<number> =>
  affectedBy(
    db,
    'delete from personal_access_tokens where tokenable_type = ? and tokenable_id = ?',
    [tokenableType, tokenableId],
  )

/** Writes down when tokens were last used: those that were used later already are left. */
export async function setTokensLastUsed(
  db: PlatformDb,
  used: readonly (readonly [id: string, at: Date])[],
): Promise<void> {
  const rows = used.map((_, index) =>
    index === 0 ? 'select cast(? as unsigned) as id, ? as at' : 'select cast(? as unsigned), ?',
  )
  await affectedBy(
    db,
    `update personal_access_tokens tokens join (${rows.join(' union all ')}) used on used.id = tokens.id
      set tokens.last_used_at = used.at
      where tokens.last_used_at is null or tokens.last_used_at < used.at`,
    used.flat(),
  )
}
