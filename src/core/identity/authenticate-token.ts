import type { Context } from '../context.js'
import { AppError } from '../errors.js'
import { hashTokenSecret, isSameTokenHash, isTokenAlive, readBearer } from './token.js'
import { findTokenStanding, type TokenStanding } from './token-store.js'

/**
 * Who stands behind a bearer token, as Laravel Sanctum decides it. Asked of the database each time: a token
 * that was revoked is refused with the next request.
 *
 * @throws AUTH.TOKEN.REQUIRED where none was sent; AUTH.UNAUTHENTICATED, alike for malformed, unknown and
 *   expired ones and for those whose holder is gone
 */
export async function authenticateToken(
  ctx: Pick<Context, 'platform' | 'config'>,
  authorization: string | undefined,
  now: Date,
): Promise<TokenStanding> {
  if (authorization === undefined || authorization === '') throw new AppError('AUTH.TOKEN.REQUIRED')
  const presented = readBearer(authorization)
  if (!presented) throw new AppError('AUTH.UNAUTHENTICATED')
  const hash = hashTokenSecret(presented.secret)
  const types = { user: ctx.config.tokenableUser, admin: ctx.config.tokenableAdmin }
  const standing = await findTokenStanding(
    ctx.platform,
    presented.id === undefined ? { hash } : { id: presented.id },
    types,
  )
  if (!standing || !isSameTokenHash(standing.hash, hash)) throw new AppError('AUTH.UNAUTHENTICATED')
  if (!isTokenAlive(standing.token, now, ctx.config.tokenExpiration)) {
    // looks like an unknown token from outside; the cause tells that it is no guess
    throw new AppError('AUTH.UNAUTHENTICATED').because(new Error('the token has expired'))
  }
  if (!standing.user && !standing.admin) {
    throw new AppError('AUTH.UNAUTHENTICATED').because(new Error('its holder is gone'))
  }
  return standing
}
