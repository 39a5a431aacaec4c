import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { isIP } from 'node:net'
import { Redis } from 'ioredis'
import {
  RateLimiterMemory as LibraryMemory,
  type RateLimiterAbstract,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible'
import { monthOf } from '../billing/plan.js'
import { AppError } from '../errors.js'
import type { Log } from '../log.js'
import { readServiceUrl } from '../service-url.js'
import { loadPem, readCertificates } from '../tls-files.js'
import type { KeyStanding, RateLimit } from './api-key-store.js'

/** How the requests of one key, tenant or address stand in their window. */
export type LimitState = {
  readonly scope: 'api_key' | 'tenant' | 'address' | 'login'
  readonly limit: number
  readonly remaining: number
  readonly periodSeconds: number
  /** When the window ends, in unix seconds. */
  readonly resetAt: number
  readonly exceeded: boolean
}

/** The library sets a timer for each window, and a timer of more than 2^31-1 ms fires at once. */
const LONGEST_TIMER_S = 2_147_483
class RateLimiterMemory extends LibraryMemory {
  override consume(
    key: string | number,
    points?: number,
    options: { customDuration?: number } = {},
  ) {
    const seconds = options.customDuration ?? this.duration
    return super.consume(key, points, {
      ...options,
      customDuration: Math.min(seconds, LONGEST_TIMER_S),
    })
  }
}

/**
 * Windows of addresses and logins that one process keeps. Anybody can open another one, and each lives for a
 * minute, so beyond this the oldest is forgotten.
 */
const MAX_STRANGERS = 100_000

/** For names that callers choose. */
class BoundedMemory extends RateLimiterMemory {
  readonly #names = new Set<string>()
  readonly #most: number

  constructor(options: ConstructorParameters<typeof LibraryMemory>[0], most: number) {
    super(options)
    this.#most = most
  }

  get size(): number {
    return this.#names.size
  }

  override consume(
    key: string | number,
    points?: number,
    options: { customDuration?: number } = {},
  ) {
    const name = String(key)
    this.#names.delete(name)
    this.#names.add(name)
    const [oldest] = this.#names
    if (this.#names.size > this.#most && oldest !== undefined) {
      this.#names.delete(oldest)
      void this.delete(oldest)
    }
    return super.consume(key, points, options)
  }
}

/** Failed attempts that an address has before it must wait. */
export const ATTEMPTS: RateLimit = { requests: 60, periodSeconds: 60 }

/** Attempts to log in that one address has for one account. */
const LOGINS: RateLimit = { requests: 5, periodSeconds: 60 }

/**
 * Counts requests in fixed windows: in memory for one process, in Redis for many, where the count is
 * exact across them. While Redis is away each process counts for itself, with the same limits, and
 * lets requests through within them.
 */
export class RateLimits {
  readonly #redis: Redis | undefined
  readonly #defaults: RateLimit
  readonly #maxStrangers: number
  readonly #limiters = new Map<string, RateLimiterAbstract>()
  /** Addresses that must wait, until when (unix milliseconds): asked before anything is looked up. */
  readonly #waiting = new Map<string, number>()

  constructor(options: {
    readonly defaults: RateLimit
    readonly redisUrl: string | undefined
    /** File with the CA certificates that a `rediss` URL trusts; by default those of Node.js. */
    readonly redisCa?: string | undefined
    readonly prefix: string
    readonly log: Log
    readonly maxStrangers?: number
  }) {
    this.#maxStrangers = options.maxStrangers ?? MAX_STRANGERS
    this.#defaults = options.defaults
    this.#prefix = options.prefix
    if (options.redisUrl === undefined) return
    this.#redis = new Redis({
      ...redisAddress(options.redisUrl, options.redisCa),
      // a request must not wait for Redis to come back
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      connectTimeout: 1_000,
      commandTimeout: 1_000,
      retryStrategy: (times) => Math.min(times * 50, 1_000),
    })
    let isAway = false
    this.#redis.on('error', (error) => {
      this.#lastError = error
      if (!isAway)
        options.log.warn('Redis is away: each process counts requests for itself', { error })
      isAway = true
    })
    this.#redis.on('ready', () => {
      this.#lastError = undefined
      if (isAway) options.log.info('Redis is back')
      isAway = false
    })
  }

  readonly #prefix: string
  #lastError: unknown

  /** Resolves once Redis can be asked, where it is configured. @throws Error where it cannot be reached in time */
  async ready(): Promise<void> {
    if (!this.#redis || this.#redis.status === 'ready') return
    try {
      await once(this.#redis, 'ready', { signal: AbortSignal.timeout(3_000) })
    } catch (error) {
      throw new AppError('REDIS.UNREACHABLE').because(this.#lastError ?? error)
    }
  }

  /** Counts one request of a key and of its tenant, and tells how both stand. */
  async count(
    { keyId, rateLimit, monthlyRequests, tenant }: KeyStanding,
    now: Date,
  ): Promise<LimitState[]> {
    const own = await this.#consume('api_key', keyId, rateLimit ?? this.#defaults)
    if (own.exceeded || monthlyRequests === undefined) return [own]
    const { start, end } = monthOf(now)
    const month = {
      requests: monthlyRequests,
      periodSeconds: (end.getTime() - start.getTime()) / 1000,
    }
    const left = Math.ceil((end.getTime() - now.getTime()) / 1000)
    return [
      own,
      await this.#consume('tenant', `${tenant.id}/${start.toISOString().slice(0, 7)}`, month, left),
    ]
  }

  /** Counts a failed attempt of an address, or tells how it stands where the attempt was no guess. */
  async countAttempt(address: string, isGuess = true): Promise<LimitState> {
    const state = await this.#consume('address', address, ATTEMPTS, undefined, isGuess ? 1 : 0)
    if (state.exceeded) this.#letWait(address, state.resetAt * 1000)
    return state
  }

  /** Counts one attempt to log in, before the password is looked at. */
  async countLogin(email: string, address: string): Promise<LimitState> {
    return this.#consume('login', digest(email, address), LOGINS)
  }

  /** The password was right: what went before was no guessing. */
  async forgetLogins(email: string, address: string): Promise<void> {
    await this.#limiter('login', LOGINS).delete(digest(email, address))
  }

  /** What was counted beforehand was no guess. */
  async forgiveAttempt(address: string): Promise<void> {
    await this.#limiter('address', ATTEMPTS).reward(address, 1)
  }

  /** How an address stands that must wait; undefined where it need not. */
  mustWait(address: string, now: Date): LimitState | undefined {
    const until = this.#waiting.get(address)
    if (until === undefined) return undefined
    if (until > now.getTime())
      return {
        scope: 'address',
        limit: ATTEMPTS.requests,
        remaining: 0,
        periodSeconds: ATTEMPTS.periodSeconds,
        resetAt: Math.ceil(until / 1000),
        exceeded: true,
      }
    this.#waiting.delete(address)
    return undefined
  }

  /** How many addresses and logins it keeps at the moment. */
  get strangers(): number {
    const windows = [...this.#limiters.values()].map((each) =>
      each instanceof BoundedMemory ? each.size : 0,
    )
    return Math.max(this.#waiting.size, ...windows)
  }

  /** All windows are equally long, so the first entries are the first to end. */
  #letWait(address: string, until: number): void {
    this.#waiting.delete(address)
    this.#waiting.set(address, until)
    const now = Date.now()
    for (const [each, end] of this.#waiting) {
      if (end > now && this.#waiting.size <= this.#maxStrangers) break
      this.#waiting.delete(each)
    }
  }

  /** How a key or a tenant stands, without counting; undefined where nothing was counted. */
  async peek(
    scope: 'api_key' | 'tenant',
    name: string,
    limit: RateLimit,
  ): Promise<LimitState | undefined> {
    const found = await this.#limiter(scope, limit).get(name)
    return found === null ? undefined : stateOf(scope, limit, found, found.remainingPoints <= 0)
  }

  /** Forgets what was counted. Answers whether there was anything. */
  reset(scope: 'api_key' | 'tenant', name: string, limit: RateLimit): Promise<boolean> {
    return this.#limiter(scope, limit).delete(name)
  }

  [Symbol.dispose](): void {
    this.#redis?.disconnect()
  }

  async #consume(
    scope: LimitState['scope'],
    name: string,
    limit: RateLimit,
    duration?: number,
    points = 1,
  ): Promise<LimitState> {
    try {
      const options = duration === undefined ? {} : { customDuration: duration }
      return stateOf(
        scope,
        limit,
        await this.#limiter(scope, limit).consume(name, points, options),
        false,
      )
    } catch (rejected) {
      // a fault of the store comes as an Error, and is no reason to refuse anybody
      if (rejected instanceof RateLimiterRes) return stateOf(scope, limit, rejected, true)
      throw rejected
    }
  }

  /** The library has one object for each pair of limit and window. */
  #limiter(scope: string, { requests, periodSeconds }: RateLimit): RateLimiterAbstract {
    const name = `${scope}/${requests}/${periodSeconds}`
    const known = this.#limiters.get(name)
    if (known) return known
    const options = {
      keyPrefix: `${this.#prefix}/${scope}`,
      points: requests,
      duration: periodSeconds,
    }
    const isStranger = scope === 'address' || scope === 'login'
    const memory = isStranger
      ? new BoundedMemory(options, this.#maxStrangers)
      : new RateLimiterMemory(options)
    const limiter = this.#redis
      ? new RateLimiterRedis({ ...options, storeClient: this.#redis, insuranceLimiter: memory })
      : memory
    this.#limiters.set(name, limiter)
    return limiter
  }
}

/** With `rediss` the certificate is verified, against the address too. */
function redisAddress(text: string, caFile: string | undefined) {
  const { protocol, user, password, host, port = 6379, path } = readServiceUrl(text)
  return {
    host,
    port,
    ...(user === '' ? {} : { username: user }),
    ...(password === '' ? {} : { password }),
    db: Number(path.slice(1)),
    ...(protocol === 'rediss'
      ? {
          tls: {
            rejectUnauthorized: true,
            // for servers that have many certificates; an IP address must not be sent
            ...(isIP(host) ? {} : { servername: host.replace(/\.$/, '') }),
            ...(caFile === undefined ? {} : { ca: loadPem(caFile, readCertificates) }),
          },
        }
      : {}),
  }
}

/** Names in the store tell nothing, and have one form. */
const digest = (...parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex')

const stateOf = (
  scope: LimitState['scope'],
  { requests, periodSeconds }: RateLimit,
  { remainingPoints, msBeforeNext }: RateLimiterRes,
  exceeded: boolean,
): LimitState => ({
  scope,
  limit: requests,
  remaining: exceeded ? 0 : Math.max(0, remainingPoints),
  periodSeconds,
  resetAt: Math.ceil((Date.now() + msBeforeNext) / 1000),
  exceeded,
})
