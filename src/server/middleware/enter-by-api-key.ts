import { createMiddleware } from 'hono/factory'
import { authenticateApiKey } from '../../core/access/authenticate-api-key.js'
import type { KeyStandings } from '../../core/access/key-standings.js'
import type { LastUsed } from '../../core/access/last-used.js'
import type { LimitState, RateLimits } from '../../core/access/rate-limits.js'
import type { Context } from '../../core/context.js'
import { AppError } from '../../core/errors.js'
import { assertActive, TenantScope } from '../../core/tenants/scope.js'
import { clientAddress } from '../client-address.js'
import type { ServerEnv } from '../env.js'
import { showLimits } from '../limit-headers.js'
import { setHeader } from '../set-header.js'

/**
 * Lets a request into the one tenant that its API key belongs to, before anything is loaded, and
 * counts it. An address that has failed too often must wait, also with a key that is right: else
 * guessing would only look slow.
 */
export const enterByApiKey = (
  ctx: Context,
  standings: KeyStandings,
  limits: RateLimits,
  lastUsed: LastUsed,
) =>
  createMiddleware<ServerEnv>(async function enterByApiKey(c, next) {
    const now = ctx.now()
    const address = clientAddress(c, ctx.config.trustedHops)
    const waiting = limits.mustWait(address, now)
    if (waiting) throw exceeded(c, [waiting], now)

    const apiKey = c.req.header('x-api-key')
    const standing = await authenticateApiKey(standings, ctx.keyring, apiKey, now).catch(
      async (error) => {
        if (!isRefusal(error)) throw error
        const attempt = await limits.countAttempt(address, isGuess(error))
        if (attempt.exceeded) throw exceeded(c, [attempt], now)
        showLimits(c, [attempt], now)
        throw error
      },
    )
    const states = await limits.count(standing, now)
    if (states.some((state) => state.exceeded)) throw exceeded(c, states, now)
    showLimits(c, states, now)
    assertActive(standing.tenant)
    lastUsed.apiKey(standing.keyId)
    if (apiKey !== undefined && standing.appKeyId !== ctx.keyring.currentId) {
      lastUsed.rehash(ctx.keyring, standing.keyId, apiKey, standing.appKeyId)
    }
    const actor = { type: 'api_key', id: standing.keyId, name: standing.keyId } as const
    c.set(
      'scope',
      new TenantScope(ctx.tenantDatabases, standing.tenant, actor, ctx.now, c.get('requestId')),
    )
    c.set('scopes', standing.scopes)
    await next()
  })

const isRefusal = (error: unknown): error is AppError =>
  error instanceof AppError &&
  (error.code === 'AUTH.INVALID_API_KEY' || error.code === 'AUTH.API_KEY_REVOKED')

/** A key that was ours once is no guess: after a rotation its stragglers must not lock out their neighbours. */
const isGuess = ({ code, cause }: AppError): boolean =>
  code === 'AUTH.INVALID_API_KEY' && cause === undefined

function exceeded(
  c: Parameters<typeof showLimits>[0],
  states: readonly LimitState[],
  now: Date,
): AppError {
  const state = states.find((each) => each.exceeded) ?? states[0]
  const left = (state?.resetAt ?? 0) - Math.floor(now.getTime() / 1000)
  const seconds = Math.min(Math.max(1, left), state?.periodSeconds ?? left)
  showLimits(c, states, now)
  setHeader(c, 'Retry-After', String(seconds))
  return new AppError('RATE_LIMIT.EXCEEDED', seconds).with({
    limit: state?.limit,
    reset: seconds,
    scope: state?.scope,
  })
}
