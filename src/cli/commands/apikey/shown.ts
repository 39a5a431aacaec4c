import { type ApiKey, isLive } from '../../../core/access/api-key.js'
import type { MintedApiKey } from '../../../core/access/create-api-key.js'
import { formatFields, type Terminal } from '../../terminal.js'

export const apiKeyStatus = (key: ApiKey, now: Date): string => {
  if (key.revokedAt) return 'revoked'
  if (!isLive(key, now)) return 'expired'
  if (!key.deliveredAt) return 'never shown'
  return key.expiresAt ? 'ends' : 'live'
}

/** Never the key itself. */
export const apiKeyJson = (key: ApiKey, now: Date) => ({
  id: key.id,
  name: key.name,
  prefix: key.prefix,
  last_four: key.lastFour,
  status: apiKeyStatus(key, now),
  scopes: key.scopes ?? null,
  created_at: key.createdAt,
  last_used_at: key.lastUsedAt ?? null,
  expires_at: key.expiresAt ?? null,
  revoked_at: key.revokedAt ?? null,
})

/** A key as it is displayed, never the key itself. */
export const shortKey = ({ prefix, lastFour }: Pick<ApiKey, 'prefix' | 'lastFour'>): string =>
  `${prefix}…${lastFour}`

type More = {
  readonly fields?: readonly (readonly [string, string | undefined])[]
  readonly json?: Readonly<Record<string, unknown>>
}

/** Shows a key, the only time that this can be done. @throws OUTPUT.SECRET_NOT_SHOWN */
export async function showMinted(
  terminal: Terminal,
  { key, secret }: MintedApiKey,
  now: Date,
  { fields = [], json = {} }: More = {},
): Promise<void> {
  await terminal.secret(
    'API key',
    { ...apiKeyJson({ ...key, deliveredAt: now }, now), secret, ...json },
    () =>
      formatFields([
        ['api key', secret],
        ['name', key.name],
        ['scopes', key.scopes?.join(', ') ?? 'all'],
        ['expires', key.expiresAt?.toISOString() ?? 'never'],
        ...fields,
      ]),
  )
  terminal.remark('\nThe key is shown this once.')
}
