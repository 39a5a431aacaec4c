import type { Context } from 'hono'
import type { LimitState, RateLimits } from '../core/access/rate-limits.js'
import { AppError, type ErrorCode } from '../core/errors.js'
import type { ServerEnv } from './env.js'
import { showLimits } from './limit-headers.js'
import { setHeader } from './set-header.js'

/** Refusals of a credential; of these, one that names a cause was ours once, and is no guess. */
const REFUSALS: readonly ErrorCode[] = [
  'AUTH.INVALID_API_KEY',
  'AUTH.API_KEY_REVOKED',
  'AUTH.TOKEN.REQUIRED',
  'AUTH.UNAUTHENTICATED',
  'AUTH.INVALID_CREDENTIALS',
]
const NO_GUESS: readonly ErrorCode[] = ['AUTH.API_KEY_REVOKED', 'AUTH.TOKEN.REQUIRED']

/**
 * Lets an address try a credential. One that has failed too often must wait, also with a credential that
 * is right: else guessing would only look slow.
 *
 * @throws RATE_LIMIT.EXCEEDED, and what `attempt` throws
 */
export async function countAttempts<T>(
  c: Context<ServerEnv>,
  limits: RateLimits,
  address: string,
  now: Date,
  attempt: () => Promise<T>,
): Promise<T> {
  const waiting = limits.mustWait(address, now)
  if (waiting) throw limitExceeded(c, [waiting], now)
  try {
    return await attempt()
  } catch (error) {
    if (!(error instanceof AppError) || !REFUSALS.includes(error.code)) throw error
    // after a rotation the stragglers of a key must not lock out their neighbours
    const isGuess =
      !NO_GUESS.includes(error.code) && error.cause === undefined && !isBarePreflight(c)
    const state = await limits.countAttempt(address, isGuess)
    if (state.exceeded) throw limitExceeded(c, [state], now)
    showLimits(c, [state], now)
    throw error
  }
}

/** A CORS preflight. It carries no credential, so it isn't a guess. */
const isBarePreflight = (c: Context<ServerEnv>): boolean =>
  c.req.method === 'OPTIONS' && c.req.header('x-api-key') === undefined

/**
 * The same for a credential that is dear to check: the attempt is counted before it is looked at, so that many at
 * once are no way round, and given back where it was no guess.
 *
 * @throws RATE_LIMIT.EXCEEDED, and what `attempt` throws
 */
export async function countBeforehand<T>(
  c: Context<ServerEnv>,
  limits: RateLimits,
  address: string,
  now: Date,
  attempt: () => Promise<T>,
): Promise<T> {
  const waiting = limits.mustWait(address, now)
  if (waiting) throw limitExceeded(c, [waiting], now)
  const state = await limits.countAttempt(address)
  if (state.exceeded) throw limitExceeded(c, [state], now)
  try {
    const result = await attempt()
    await limits.forgiveAttempt(address)
    return result
  } catch (error) {
    const isGuess = error instanceof AppError && REFUSALS.includes(error.code)
    if (isGuess) showLimits(c, [state], now)
    else await limits.forgiveAttempt(address)
    throw error
  }
}

/** Says so in the headers too. */
export function limitExceeded(
  c: Context<ServerEnv>,
  states: readonly LimitState[],
  now: Date,
): AppError {
  const state = states.find((each) => each.exceeded) ?? states[0]
  const seconds = secondsLeft(state, now)
  showLimits(c, states, now)
  setHeader(c, 'Retry-After', String(seconds))
  return new AppError('RATE_LIMIT.EXCEEDED', seconds).with({
    limit: state?.limit,
    reset: seconds,
    scope: state?.scope,
  })
}

export function secondsLeft(state: LimitState | undefined, now: Date): number {
  const left = (state?.resetAt ?? 0) - Math.floor(now.getTime() / 1000)
  return Math.min(Math.max(1, left), state?.periodSeconds ?? left)
}
