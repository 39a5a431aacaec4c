import type { Context } from 'hono'
import type { ServerEnv } from './env.js'

/**
 * Who is calling: the other end of the connection, or, behind proxies of ours, what the outermost of
 * them saw. Whatever a client writes into X-Forwarded-For itself stands further left and is not read.
 * An IPv6 address counts as its /64, which is what one subscriber has.
 *
 * @param trustedHops how many proxies of ours there are
 */
export function clientAddress(c: Context<ServerEnv>, trustedHops: number): string {
  const peer = c.env?.incoming?.socket?.remoteAddress ?? 'unknown'
  if (trustedHops === 0) return subscriber(peer)
  const seen = (c.req.header('x-forwarded-for') ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)
  return subscriber(seen.at(-trustedHops) ?? peer)
}

/** Where a request came from, as the trail keeps it. */
export const originOf = (c: Context<ServerEnv>, trustedHops: number) => ({
  address: clientAddress(c, trustedHops).slice(0, 64),
  userAgent: c.req.header('user-agent'),
})

function subscriber(address: string): string {
  const plain = address
    .replace(/^\[([^\]]*)\](:\d+)?$/, '$1')
    .replace(/^(\d+(?:\.\d+){3}):\d+$/, '$1')
    .replace(/^::ffff:(?=\d+\.)/i, '')
  if (!plain.includes(':')) return plain.slice(0, 64)
  const [head = '', tail = ''] = plain.split('::')
  const front = head.split(':').filter(Boolean)
  const back = tail.split(':').filter(Boolean)
  const missing = plain.includes('::') ? Math.max(0, 8 - front.length - back.length) : 0
  const groups = [...front, ...Array.from({ length: missing }, () => '0'), ...back]
  return `${groups
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}
