import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import { TrailKeeper } from '../core/audit/trail-keeper.js'
import type { Context } from '../core/context.js'
import { AppError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import { WebhookSender } from '../core/webhooks/webhook-sender.js'
import { createApp } from './app.js'
import { API_VERSION, failure } from './envelope.js'
import { createReadiness } from './readiness.js'
import { watchTenants } from './watch-tenants.js'

/** Slow clients are cut: node looks every `connectionsCheckingInterval`, by itself only every 30 s. */
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
const CHECK_EVERY_MS = 1_000
const SWEEP_EVERY_MS = 25
const LINGER_MS = 500

export type Listening = {
  readonly url: string
  /**
   * Stops without losing a request: not ready any more, a delay for the load balancer to notice,
   * `Connection: close` on what still comes, then an end of listening, with a deadline.
   * Answers whether all requests could finish.
   */
  stop(): Promise<boolean>
}

/** @throws SERVER.ADDRESS_IN_USE, SERVER.ADDRESS_FORBIDDEN, SERVER.ADDRESS_FOREIGN, SERVER.ADDRESS_UNKNOWN, SERVER.NOT_LISTENING */
export async function listen(ctx: Context): Promise<Listening> {
  const { host, port, drainDelay, stopTimeout, keepAliveTimeout } = ctx.config
  const readiness = createReadiness(ctx.platform)
  const app = createApp(ctx, readiness.ask, (tenant) => trail.touch(tenant))
  const answer = getRequestListener(app.fetch, { errorHandler: refuseUnreadable })
  let stopping = false
  const server = createServer(
    {
      connectionsCheckingInterval: CHECK_EVERY_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: keepAliveTimeout * 1000,
      // node would answer these without our envelope; the app's own check follows
      requireHostHeader: false,
    },
    (request: IncomingMessage, response: ServerResponse) => {
      // HTTP/1.1 requires a Host (RFC 9112, section 3.2), HTTP/1.0 doesn't have to send one
      if (request.httpVersion === '1.0' && !request.headers.host) request.headers.host = 'localhost'
      if (stopping) response.setHeader('Connection', 'close')
      void answer(request, response)
    },
  )
  server.on('clientError', refuseMalformed)
  server.on('checkExpectation', (request, response) => void answer(request, response))
  server.on('connect', (_, socket) => refuseMalformed({ code: 'CONNECT' }, socket))
  await app.ready()
  try {
    await bind(server, host, port)
  } catch (error) {
    await app[Symbol.asyncDispose]()
    throw error
  }
  server.on('error', (error) => ctx.log.error('the listening socket failed', { error }))
  // what works beside the requests would keep a process alive that could not listen
  const trail = new TrailKeeper(ctx)
  const webhooks = new WebhookSender(ctx)
  const unwatch = watchTenants(ctx)
  const bound = server.address()
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port

  return {
    url: `http://${hostAndPort(host, boundPort)}`,
    async stop() {
      stopping = true
      readiness.stop()
      await sleep(drainDelay * 1000)
      const clean = await closeWithin(server, stopTimeout * 1000)
      unwatch()
      await app[Symbol.asyncDispose]()
      await trail[Symbol.asyncDispose]()
      await webhooks[Symbol.asyncDispose]()
      return clean
    },
  }
}

/** A request that cannot be made into one of the app's: a target or a host that is no URL. */
function refuseUnreadable(): Response {
  const requestId = newId()
  const refusal = new AppError('REQUEST.MALFORMED')
  return Response.json(failure(refusal, requestId), {
    status: refusal.status,
    headers: { 'X-ValidonX-API-Version': API_VERSION, 'X-Request-ID': requestId },
  })
}

/** What node's parser gives up with, as rows of the catalogue. */
const MALFORMED: Readonly<Record<string, 'REQUEST.TIMEOUT' | 'REQUEST.HEADERS_TOO_LARGE'>> = {
  HPE_HEADER_OVERFLOW: 'REQUEST.HEADERS_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST.TIMEOUT',
}

/** Whether all requests could finish; those that could not are cut. */
async function closeWithin(server: Server, milliseconds: number): Promise<boolean> {
  // a request that was begun before the stop leaves a kept-alive connection behind when it ends
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_EVERY_MS)
  let clean = true
  const deadline = setTimeout(() => {
    clean = false
    server.closeAllConnections()
  }, milliseconds)
  await new Promise<void>((done) => server.close(() => done()))
  clearInterval(sweep)
  clearTimeout(deadline)
  return clean
}

/** Why an address can't be listened on, by the system's code. */
const NOT_BOUND: Readonly<
  Record<
    string,
    | 'SERVER.ADDRESS_IN_USE'
    | 'SERVER.ADDRESS_FORBIDDEN'
    | 'SERVER.ADDRESS_FOREIGN'
    | 'SERVER.ADDRESS_UNKNOWN'
  >
> = {
  EADDRINUSE: 'SERVER.ADDRESS_IN_USE',
  EACCES: 'SERVER.ADDRESS_FORBIDDEN',
  EPERM: 'SERVER.ADDRESS_FORBIDDEN',
  EADDRNOTAVAIL: 'SERVER.ADDRESS_FOREIGN',
  EAFNOSUPPORT: 'SERVER.ADDRESS_FOREIGN',
  EINVAL: 'SERVER.ADDRESS_FOREIGN',
  ENOTFOUND: 'SERVER.ADDRESS_UNKNOWN',
  EAI_AGAIN: 'SERVER.ADDRESS_UNKNOWN',
  EAI_NODATA: 'SERVER.ADDRESS_UNKNOWN',
  EAI_NONAME: 'SERVER.ADDRESS_UNKNOWN',
}

const hostAndPort = (host: string, port: number): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`

function bind(server: Server, host: string, port: number): Promise<void> {
  return new Promise((done, fail) => {
    const refuse = (error: NodeJS.ErrnoException) => {
      const code = NOT_BOUND[error.code ?? '']
      fail(
        code
          ? new AppError(code, code === 'SERVER.ADDRESS_UNKNOWN' ? host : hostAndPort(host, port))
          : new AppError('SERVER.NOT_LISTENING', hostAndPort(host, port)).because(error),
      )
    }
    server.once('error', refuse)
    server.listen(port, host, () => {
      server.off('error', refuse)
      done()
    })
  })
}

/** What is no HTTP never reaches the app; it is answered in the envelope all the same. */
function refuseMalformed(error: { readonly code?: string | undefined }, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const refusal = new AppError(MALFORMED[error.code ?? ''] ?? 'REQUEST.MALFORMED')
  const requestId = newId()
  const body = JSON.stringify(failure(refusal, requestId))
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\nConnection: close\r\nContent-Type: application/json\r\nX-ValidonX-API-Version: ${API_VERSION}\r\nX-Request-ID: ${requestId}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    // a client that never closes its side must not be kept; one that does gets to read the answer
    () => setTimeout(() => socket.destroy(), LINGER_MS).unref(),
  )
}
