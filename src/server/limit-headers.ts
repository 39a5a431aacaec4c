import type { Context } from 'hono'
import type { LimitState } from '../core/access/rate-limits.js'
import type { ServerEnv } from './env.js'

/**
 * The published headers, for the limit that will be reached first, and the two structured fields of
 * the IETF draft (draft-ietf-httpapi-ratelimit-headers) for all of them.
 */
export function showLimits(c: Context<ServerEnv>, states: readonly LimitState[], now: Date): void {
  const seconds = Math.floor(now.getTime() / 1000)
  let tightest = states[0]
  let policies = ''
  let standings = ''
  for (const state of states) {
    if (tightest && state.remaining < tightest.remaining) tightest = state
    const separator = policies === '' ? '' : ', '
    policies += `${separator}"${state.scope}";q=${state.limit};w=${state.periodSeconds}`
    standings += `${separator}"${state.scope}";r=${state.remaining};t=${Math.max(0, state.resetAt - seconds)}`
  }
  if (!tightest) return
  c.header('X-RateLimit-Limit', String(tightest.limit))
  c.header('X-RateLimit-Remaining', String(tightest.remaining))
  c.header('X-RateLimit-Reset', String(tightest.resetAt))
  c.header('RateLimit-Policy', policies)
  c.header('RateLimit', standings)
}
