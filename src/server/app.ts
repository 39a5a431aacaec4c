import { Hono } from 'hono'
import { KeyStandings } from '../core/access/key-standings.js'
import { LastUsed } from '../core/access/last-used.js'
import { RateLimits } from '../core/access/rate-limits.js'
import type { Context } from '../core/context.js'
import type { TenantPlace } from '../core/db/tenant-database-manager.js'
import { AppError, asAppError } from '../core/errors.js'
import { UsageWriter } from '../core/usage/usage-writer.js'
import { allowedMethods } from './allowed-methods.js'
import { authGroup, integrationGroup, tenantGroup } from './api-group.js'
import { authOperations } from './auth/operations.js'
import type { ServerEnv } from './env.js'
import { failure } from './envelope.js'
import { assertScope } from './integration/integration-operation.js'
import { integrationOperations } from './integration/operations.js'
import { authenticate } from './middleware/authenticate.js'
import { enterByApiKey } from './middleware/enter-by-api-key.js'
import { enterByMembership } from './middleware/enter-by-membership.js'
import { limitBody } from './middleware/limit-body.js'
import { noticeProxies } from './middleware/notice-proxies.js'
import { refuseDuplicateHeaders } from './middleware/refuse-duplicate-headers.js'
import { requestId } from './middleware/request-id.js'
import { mount } from './operation.js'
import { docs } from './routes/docs.js'
import { health, type Readiness } from './routes/health.js'
import { setHeader } from './set-header.js'
import { tenantOperations } from './tenant/operations.js'
import { assertPermitted } from './tenant/tenant-operation.js'

/** Seconds after which a caller may try again what this process could not take on. */
const RETRY_AFTER_SECONDS = 1

/** The published base carries `/api`; the canonical one does not. Both have the same handlers. */
const BASES = ['/v1', '/api/v1'] as const

/** Disposing of it writes down what it still holds in memory. */
export type App = AsyncDisposable &
  Pick<Hono<ServerEnv>, 'fetch' | 'request' | 'routes'> & {
    /** Resolves when requests are counted together with other processes; after a while also when not. */
    ready(): Promise<void>
  }

/** The whole HTTP surface, without a port: tests call `createApp(ctx).request(...)`. */
export function createApp(
  ctx: Context,
  readiness: Readiness,
  /** Is told of every tenant that may have been written to. */
  touch: (tenant: TenantPlace) => void = () => {},
): App {
  const standings = new KeyStandings(ctx.platform)
  const lastUsed = new LastUsed(ctx.platform, ctx.tenantDatabases, ctx.log)
  const limits = createRateLimits(ctx)
  const integration = integrationOperations(lastUsed, new UsageWriter(ctx.tenantDatabases))
  const auth = authOperations(ctx, limits)
  const groups = [integrationGroup(integration), authGroup(auth), tenantGroup(tenantOperations)]
  const app = new Hono<ServerEnv>()
    .use(requestId(), refuseDuplicateHeaders(), noticeProxies(ctx))
    .onError((thrown, c) => {
      const fault = asAppError(thrown)
      const error = forCallers(fault)
      if (error.status >= 500) {
        // that there is too much to do at the moment is no fault
        const level = error.status === 503 && fault.cause === undefined ? 'warn' : 'error'
        ctx.log[level](fault.message, {
          request_id: c.get('requestId'),
          code: fault.code,
          error: thrown,
        })
      }
      if (error.status === 503) setHeader(c, 'Retry-After', String(RETRY_AFTER_SECONDS))
      if (error.code === 'REQUEST.METHOD_NOT_ALLOWED')
        setHeader(c, 'Allow', String(error.details.allowed))
      return c.json(failure(error, c.get('requestId')), error.status as 500)
    })
    .route('/', health(readiness))
    .route('/', docs(groups))

  for (const base of BASES) {
    // default-deny: everything under a base is behind its guard, also what does not exist
    app.use(`${base}/integration/*`, enterByApiKey(ctx, standings, limits, lastUsed), limitBody())
    mount(app, `${base}/integration`, integration, assertScope, touch)

    const open = auth.filter(({ isPublic }) => isPublic)
    const isOpen = new Set(
      open.map(({ method, path }) => `${method.toUpperCase()} ${base}/auth${path}`),
    )
    app.use(`${base}/auth/*`, authenticate(ctx, limits, lastUsed, isOpen), limitBody())
    mount(app, `${base}/auth`, auth, () => {}, touch)

    app.use(
      `${base}/tenant/*`,
      authenticate(ctx, limits, lastUsed),
      enterByMembership(ctx),
      limitBody(),
    )
    mount(app, `${base}/tenant`, tenantOperations, assertPermitted, touch)
  }

  app.notFound((c) => {
    const allowed = allowedMethods(app.routes, c.req.path)
    if (allowed.length === 0 || allowed.includes(c.req.method))
      throw new AppError('ROUTE.NOT_FOUND')
    throw new AppError('REQUEST.METHOD_NOT_ALLOWED', c.req.method, allowed).with({
      allowed: allowed.join(', '),
    })
  })
  return Object.assign(app, {
    // without Redis each process counts for itself, and says so in the log
    ready: () => limits.ready().catch(() => {}),
    async [Symbol.asyncDispose]() {
      standings[Symbol.dispose]()
      await lastUsed[Symbol.asyncDispose]()
      limits[Symbol.dispose]()
    },
  })
}

/** The counters of one platform, wherever they are kept: `validonx ratelimit` reads the same. */
export const createRateLimits = (ctx: Pick<Context, 'config' | 'log'>): RateLimits =>
  new RateLimits({
    defaults: {
      requests: ctx.config.apiRateLimitRequests,
      periodSeconds: ctx.config.apiRateLimitPeriod,
    },
    redisUrl: ctx.config.redisUrl,
    redisCa: ctx.config.redisCa,
    prefix: ctx.config.platformDatabase,
    log: ctx.log,
  })

/** Faults of the installation name servers, logins and paths: those are for the log alone. */
function forCallers(fault: AppError): AppError {
  const isOurs = /^(DATABASE|REDIS|PLATFORM|CONFIG|LEASE|PROVISIONING)\./.test(fault.code)
  return isOurs && fault.code !== 'DATABASE.BUSY' ? new AppError('SERVER.UNAVAILABLE') : fault
}
