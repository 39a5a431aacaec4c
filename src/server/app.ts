import { Hono } from 'hono'
import { KeyStandings } from '../core/access/key-standings.js'
import type { Context } from '../core/context.js'
import { AppError, asAppError } from '../core/errors.js'
import { allowedMethods } from './allowed-methods.js'
import type { ServerEnv } from './env.js'
import { failure } from './envelope.js'
import { acceptJson, limitBody } from './middleware/accept-json.js'
import { enterByApiKey } from './middleware/enter-by-api-key.js'
import { requestId } from './middleware/request-id.js'
import { health, type Readiness } from './routes/health.js'
import { licenses } from './routes/licenses.js'

/** Seconds after which a caller may try again what this process could not take on. */
const RETRY_AFTER_SECONDS = 1

/** The published base carries `/api`; the canonical one does not. Both have the same handlers. */
const BASES = ['/v1', '/api/v1'] as const

export type App = Disposable & Pick<Hono<ServerEnv>, 'fetch' | 'request' | 'routes'>

/** The whole HTTP surface, without a port: tests call `createApp(ctx).request(...)`. */
export function createApp(ctx: Context, readiness: Readiness): App {
  const standings = new KeyStandings(ctx.platform)
  const app = new Hono<ServerEnv>()
    .use(requestId())
    .onError((thrown, c) => {
      const fault = asAppError(thrown)
      const error = forCallers(fault)
      if (error.status >= 500)
        ctx.log.error(fault.message, {
          request_id: c.var.requestId,
          code: fault.code,
          error: thrown,
        })
      if (error.status === 503) c.header('Retry-After', String(RETRY_AFTER_SECONDS))
      if (error.code === 'REQUEST.METHOD_NOT_ALLOWED')
        c.header('Allow', String(error.details.allowed))
      return c.json(failure(error, c.var.requestId), error.status as 500)
    })
    .route('/', health(readiness))

  for (const base of BASES) {
    // default-deny: everything under a base is behind its guard, also what does not exist
    app.use(`${base}/integration/*`, enterByApiKey(ctx, standings), limitBody(), acceptJson())
    app.route(`${base}/integration/licenses`, licenses())
  }

  app.notFound((c) => {
    const allowed = allowedMethods(app.routes, c.req.path)
    if (allowed.length === 0) throw new AppError('ROUTE.NOT_FOUND')
    throw new AppError('REQUEST.METHOD_NOT_ALLOWED', c.req.method, allowed).with({
      allowed: allowed.join(', '),
    })
  })
  return Object.assign(app, { [Symbol.dispose]: () => standings[Symbol.dispose]() })
}

/** Faults of the installation name servers, logins and paths: those are for the log alone. */
function forCallers(fault: AppError): AppError {
  const isOurs = /^(DATABASE|PLATFORM|CONFIG|LEASE|PROVISIONING)\./.test(fault.code)
  return isOurs && fault.code !== 'DATABASE.BUSY' ? new AppError('SERVER.UNAVAILABLE') : fault
}
