import { RateLimits } from '../../../core/access/rate-limits.js'
import { AppError } from '../../../core/errors.js'
import type { OpenSession } from '../../runtime.js'

/** Lends the counters of all serving processes. @throws USAGE.INVALID where they are not in Redis */
export async function withSharedLimits(
  { ctx }: OpenSession,
  work: (limits: RateLimits) => Promise<void>,
): Promise<void> {
  const { config, log } = ctx
  if (config.redisUrl === undefined) {
    throw new AppError(
      'USAGE.INVALID',
      'Without VALIDONX_REDIS_URL each serving process counts in its own memory, where no command can look. Set it for the servers and here.',
    )
  }
  using limits = new RateLimits({
    defaults: { requests: config.apiRateLimitRequests, periodSeconds: config.apiRateLimitPeriod },
    redisUrl: config.redisUrl,
    redisCa: config.redisCa,
    prefix: config.platformDatabase,
    log,
  })
  await limits.ready()
  await work(limits)
}
