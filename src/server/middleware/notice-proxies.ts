import { createMiddleware } from 'hono/factory'
import type { Context } from '../../core/context.js'
import {
  deleteServerNotice,
  putServerNotice,
  UNREAD_CLIENT_ADDRESS,
} from '../../core/servers/server-notice-store.js'
import type { ServerEnv } from '../env.js'

const RECORD_EVERY_MS = 3_600_000
const RETRY_AFTER_MS = 60_000

/** Headers in which proxies name the client, other than X-Forwarded-For. */
const OTHERS = ['forwarded', 'x-real-ip'] as const

/**
 * Notices requests whose client address is in a header that isn't read, so that all clients behind a
 * proxy share its address, and one of them can use up the failed attempts of all. Logs it once per process;
 * `doctor` reads the row, which is renewed once an hour and removed when a process starts that reads
 * X-Forwarded-For.
 */
export function noticeProxies(ctx: Context) {
  const { trustedHops } = ctx.config
  let recordAt = 0
  let isLogged = false
  const attempt = (work: Promise<unknown>) =>
    work.catch((error) => {
      recordAt = Math.min(recordAt, performance.now() + RETRY_AFTER_MS)
      ctx.log.warn('a notice for "doctor" could not be written', { error })
    })
  if (trustedHops > 0) void attempt(deleteServerNotice(ctx.platform, UNREAD_CLIENT_ADDRESS))

  return createMiddleware<ServerEnv>(async function noticeProxies(c, next) {
    const now = performance.now()
    if (now >= recordAt) {
      const isForwarded = c.req.header('x-forwarded-for') !== undefined
      const other = OTHERS.find((each) => c.req.header(each) !== undefined)
      const header = trustedHops === 0 ? (isForwarded ? 'x-forwarded-for' : other) : other
      if (header !== undefined && (trustedHops === 0 || !isForwarded)) {
        recordAt = now + RECORD_EVERY_MS
        const peer = c.env?.incoming?.socket?.remoteAddress ?? 'unknown'
        if (!isLogged)
          ctx.log.warn(messageOf(trustedHops), { header, peer, trusted_hops: trustedHops })
        isLogged = true
        const detail = `${header} from ${peer}`.slice(0, 255)
        void attempt(putServerNotice(ctx.platform, UNREAD_CLIENT_ADDRESS, detail, ctx.now()))
      }
    }
    await next()
  })
}

const messageOf = (trustedHops: number): string =>
  trustedHops === 0
    ? 'a request came through a proxy, but VALIDONX_TRUSTED_HOPS is 0: all its clients count as one address. Set it to the number of your proxies'
    : 'a proxy names the client in a header that is not read. Make it send X-Forwarded-For; otherwise all its clients count as one address'
