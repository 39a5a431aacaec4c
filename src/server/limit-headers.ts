import type { Context } from 'hono'
import type { LimitState } from '../core/access/rate-limits.js'
import type { ServerEnv } from './env.js'
import { setHeader } from './set-header.js'

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
    standings += `${separator}"${state.scope}";r=${state.remaining};t=${Math.min(state.periodSeconds, Math.max(0, state.resetAt - seconds))}`
  }
  if (!tightest) return
  setHeader(c, 'X-RateLimit-Limit', String(tightest.limit))
  setHeader(c, 'X-RateLimit-Remaining', String(tightest.remaining))
  setHeader(c, 'X-RateLimit-Reset', String(tightest.resetAt))
  setHeader(c, 'RateLimit-Policy', policies)
  setHeader(c, 'RateLimit', standings)
}
