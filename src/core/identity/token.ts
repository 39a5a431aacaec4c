import { createHash, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { BASE62, randomText } from '../crypto/random-text.js'

/** What a token may be used for. `tenant` opens the Tenant API; `*` everything. */
export const TOKEN_ABILITIES = ['tenant', 'admin', '*'] as const
export type TokenAbility = (typeof TOKEN_ABILITIES)[number]

/** A row of `personal_access_tokens`, never with its hash. */
export type Token = {
  readonly id: string
  readonly name: string
  readonly abilities: readonly string[]
  readonly lastUsedAt: Date | undefined
  readonly expiresAt: Date | undefined
  readonly createdAt: Date | undefined
}

/** Laravel's form: 40 random letters and digits, then their CRC-32 in hex (Sanctum 4, `generateTokenString`). */
export function mintTokenSecret(): string {
  const random = randomText(BASE62, 40)
  return `${random}${crc32(random).toString(16).padStart(8, '0')}`
}

/** What is stored of a token: hex SHA-256 of everything after the first `|`. */
export const hashTokenSecret = (secret: string): string =>
  createHash('sha256').update(secret).digest('hex')

/** In a time that does not depend on where they differ. */
export function isSameTokenHash(stored: string, given: string): boolean {
  const [one, other] = [Buffer.from(stored), Buffer.from(given)]
  return one.length === other.length && timingSafeEqual(one, other)
}

export type PresentedToken = { readonly id?: string; readonly secret: string }

const MAX_BIGINT = 18_446_744_073_709_551_615n

/**
 * What stands in the Authorization header, as Sanctum reads it: `id|secret`, split at the first `|`, or,
 * of older generations, the secret alone. The checksum is not looked at: older tokens have none.
 * Undefined where it can be no token; a non-digit id is refused, as is what PHP calls empty.
 */
export function readBearer(header: string): PresentedToken | undefined {
  const text = /^Bearer (\S+)$/i.exec(header)?.[1]
  if (text === undefined) return undefined
  const split = text.indexOf('|')
  if (split < 0) return text === '0' ? undefined : { secret: text }
  const [id, secret] = [text.slice(0, split), text.slice(split + 1)]
  if (!/^\d+$/.test(id) || secret === '' || secret === '0') return undefined
  const number = BigInt(id)
  return number > MAX_BIGINT ? undefined : { id: String(number), secret }
}

/** Sanctum's `can`: the ability by name, or all of them. */
export const hasAbility = (abilities: readonly string[], wanted: TokenAbility): boolean =>
  abilities.includes('*') || abilities.includes(wanted)

/**
 * The column is JSON that Laravel writes: a list, or nothing at all, which grants nothing. Where it holds what is
 * no name, Laravel fails over anything but `*`.
 */
export function readAbilities(column: unknown): readonly string[] {
  try {
    const value: unknown = typeof column === 'string' ? JSON.parse(column) : column
    if (typeof value !== 'object' || value === null) return []
    const abilities: readonly unknown[] = Object.values(value)
    const names = abilities.filter((each): each is string => typeof each === 'string')
    const areNames = abilities.every((each) => typeof each === 'string' || typeof each === 'number')
    return areNames || names.includes('*') ? names : []
  } catch {
    return []
  }
}

/**
 * Sanctum's two ends of a token's life, both of which must be ahead: the column, up to and at its instant,
 * and, where minutes are configured, so many after its making.
 */
export function isTokenAlive(
  { createdAt, expiresAt }: Pick<Token, 'createdAt' | 'expiresAt'>,
  now: Date,
  expirationMinutes: number | undefined,
): boolean {
  if (expiresAt && expiresAt < now) return false
  if (expirationMinutes === undefined) return true
  return createdAt !== undefined && createdAt.getTime() > now.getTime() - expirationMinutes * 60_000
}
