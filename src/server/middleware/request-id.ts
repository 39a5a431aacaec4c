import { createMiddleware } from 'hono/factory'
import { newId } from '../../core/ids.js'
import type { ServerEnv } from '../env.js'
import { API_VERSION } from '../envelope.js'
import { setHeader } from '../set-header.js'

const SANE = /^[A-Za-z0-9._:-]{1,128}$/

/** Names the request, by the caller's own name for it where that is a sane token, and says which API answers. */
export const requestId = () =>
  createMiddleware<ServerEnv>(async function requestId(c, next) {
    const given = c.req.header('x-request-id')
    const id = given !== undefined && SANE.test(given) ? given : newId()
    c.set('requestId', id)
    setHeader(c, 'X-Request-ID', id)
    setHeader(c, 'X-ValidonX-API-Version', API_VERSION)
    await next()
  })
