import { crc32 } from 'node:zlib'
import { BASE62, randomText } from '../crypto/random-text.js'
import { readUuid } from '../parse.js'

/** 33 characters of 62 are 196 bits. */
const SECRET_LENGTH = 33
const CHECKSUM_LENGTH = 6
const FORM = /^vx_[0-9A-Za-z]{39}$/

/** Groups of endpoints that a key may be limited to. */
export const API_KEY_SCOPES = ['licenses', 'activations', 'entitlements', 'usage'] as const
export type ApiKeyScope = (typeof API_KEY_SCOPES)[number]

export type ApiKey = {
  readonly id: string
  readonly tenantId: string
  readonly name: string
  /** What a person recognizes it by: its first characters and its last four. */
  readonly prefix: string
  readonly lastFour: string
  readonly isBootstrap: boolean
  /** What it may be used for; undefined is everything. */
  readonly scopes: readonly ApiKeyScope[] | undefined
  /** The key that this one took over from. */
  readonly replacesId: string | undefined
  readonly deliveredAt: Date | undefined
  readonly lastUsedAt: Date | undefined
  readonly expiresAt: Date | undefined
  readonly revokedAt: Date | undefined
  readonly createdAt: Date
}

/** `vx_`, 33 random base-62 characters, and a CRC-32 of them in six more. */
export function mintApiKey(): string {
  const secret = randomText(BASE62, SECRET_LENGTH)
  return `vx_${secret}${checksumOf(secret)}`
}

/** Whether the text can be one of our keys at all. Mistyped and made-up ones fail here, before any query. */
export function isWellFormedApiKey(text: string): boolean {
  if (!FORM.test(text)) return false
  const secret = text.slice(3, 3 + SECRET_LENGTH)
  return text.slice(3 + SECRET_LENGTH) === checksumOf(secret)
}

export const displayPartsOf = (
  apiKey: string,
): { readonly prefix: string; readonly lastFour: string } => ({
  prefix: apiKey.slice(0, 9),
  lastFour: apiKey.slice(-4),
})

function checksumOf(secret: string): string {
  let rest = crc32(secret)
  let text = ''
  for (let place = 0; place < CHECKSUM_LENGTH; place += 1) {
    text = `${BASE62[rest % 62]}${text}`
    rest = Math.floor(rest / 62)
  }
  return text
}

/** Whether a key opens anything at an instant. */
export const isLive = ({ expiresAt, revokedAt }: ApiKey, now: Date): boolean =>
  revokedAt === undefined && (expiresAt === undefined || expiresAt > now)

/** Returns whether an operator's name for a key means this one: its ID in either case, its prefix or its last four characters. */
export const isCalled = ({ id, prefix, lastFour }: ApiKey, named: string): boolean =>
  (readUuid(named) ?? named) === id || named === prefix || named === lastFour
