import type { Keyring } from '../crypto/keyring.js'
import { AppError } from '../errors.js'
import { isWellFormedApiKey } from './api-key.js'
import type { KeyStanding } from './api-key-store.js'
import type { KeyStandings } from './key-standings.js'

/**
 * The key and the tenant that it belongs to; whether that tenant is open is for the caller to ask.
 * Nothing is looked up for text that cannot be a key, and the look-up is by HMAC through a unique
 * index: an attacker who cannot compute the hash learns nothing from its time.
 *
 * @throws AUTH.INVALID_API_KEY (missing, malformed, unknown and expired look the same),
 *   AUTH.API_KEY_REVOKED
 */
export async function authenticateApiKey(
  standings: KeyStandings,
  keyring: Keyring,
  apiKey: string | undefined,
  now: Date,
): Promise<KeyStanding> {
  if (apiKey === undefined || !isWellFormedApiKey(apiKey))
    throw new AppError('AUTH.INVALID_API_KEY')
  const standing = await findStanding(standings, keyring, apiKey)
  if (!standing) throw new AppError('AUTH.INVALID_API_KEY')
  if (standing.revokedAt) throw new AppError('AUTH.API_KEY_REVOKED')
  if (standing.expiresAt && standing.expiresAt <= now) {
    // looks like an unknown key from outside; the cause tells that it is no guess
    throw new AppError('AUTH.INVALID_API_KEY').because(new Error('the key has expired'))
  }
  return standing
}

/** Under the current application key, then under those before it. */
async function findStanding(
  standings: KeyStandings,
  keyring: Keyring,
  apiKey: string,
): Promise<KeyStanding | undefined> {
  const hashes = keyring.ids.map((keyId) => keyring.hashApiKey(apiKey, keyId))
  for (const hash of hashes) {
    const id = hash.toString('hex')
    const recalled = standings.recall(id)
    const standing = recalled ? recalled.standing : await standings.read(id, hash)
    if (standing) return standing
  }
  // between two look-ups another process may have moved the key from the old hash to the new
  return hashes.length > 1 ? standings.readTogether(hashes) : undefined
}
