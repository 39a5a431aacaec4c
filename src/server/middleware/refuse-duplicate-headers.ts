import { createMiddleware } from 'hono/factory'
import { AppError } from '../../core/errors.js'
import type { ServerEnv } from '../env.js'

/** Headers that decide something. Sent twice, a proxy and we might each read another one. */
const ONCE = new Set([
  'x-api-key',
  'x-tenant-id',
  'authorization',
  'idempotency-key',
  'content-type',
  'x-request-id',
])

export const refuseDuplicateHeaders = () =>
  createMiddleware<ServerEnv>(async function refuseDuplicateHeaders(c, next) {
    const raw = c.env?.incoming?.rawHeaders
    if (raw) assertOnce(raw)
    await next()
  })

/** @param raw names and values in turn, as node hands them over */
function assertOnce(raw: readonly string[]): void {
  let seen = ''
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] ?? '').toLowerCase()
    if (!ONCE.has(name)) continue
    if (seen.includes(` ${name} `)) throw new AppError('REQUEST.DUPLICATE_HEADER', name)
    seen += ` ${name} `
  }
}
