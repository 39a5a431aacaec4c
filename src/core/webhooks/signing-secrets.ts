import type { Keyring } from '../crypto/keyring.js'
import { AppError } from '../errors.js'

/** An earlier secret, which signs too until a promised time. */
export type EarlierSecret = { readonly secret: string; readonly until: Date }

/** Each signs every delivery, so there is a bound. */
const MOST_EARLIER = 10

/**
 * Returns the secrets in a sealed text: a secret as it is, or a list of earlier ones, of which those are
 * returned that sign at `at`.
 */
export const secretsIn = (
  keyring: Keyring,
  endpointId: string,
  sealed: string,
  at: Date,
): string[] =>
  openEarlier(keyring, endpointId, sealed, undefined)
    .filter(({ until }) => until === undefined || until > at)
    .map(({ secret }) => secret)

/** The earlier secrets after a rotation: the one that was current, and those that were promised more time. */
export function sealEarlier(
  keyring: Keyring,
  endpointId: string,
  earlier: readonly EarlierSecret[],
): { readonly sealed: string; readonly until: Date } | undefined {
  const [first, ...more] = earlier
  if (!first) return undefined
  if (more.length >= MOST_EARLIER) {
    const ends = more.map((each) => each.until.getTime())
    throw new AppError(
      'WEBHOOK.SECRETS_EXCEEDED',
      MOST_EARLIER,
      new Date(Math.min(...ends)).toISOString(),
    )
  }
  const until = new Date(Math.max(...earlier.map((each) => each.until.getTime())))
  // one alone is kept as versions before this keep it
  const text = more.length === 0 ? first.secret : JSON.stringify(earlier)
  return { sealed: keyring.encrypt(text, endpointId), until }
}

/** @param until the end of a secret that is kept alone */
export function openEarlier<Until extends Date | undefined>(
  keyring: Keyring,
  endpointId: string,
  sealed: string,
  until: Until,
): { readonly secret: string; readonly until: Until | Date }[] {
  const text = keyring.decrypt(sealed, endpointId)
  if (!text.startsWith('[')) return [{ secret: text, until }]
  const kept = JSON.parse(text) as { secret: string; until: string }[]
  return kept.map((each) => ({ secret: each.secret, until: new Date(each.until) }))
}
