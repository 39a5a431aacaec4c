import { createMiddleware } from 'hono/factory'
import { AppError } from '../../core/errors.js'
import type { ServerEnv } from '../env.js'
import { MAX_BODY } from '../read-json.js'
import { setHeader } from '../set-header.js'

const JSON_TYPE = /^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;\s*charset="?utf-8"?\s*)?$/i

/**
 * Refuses a body that is announced too large, or that does not say it is JSON in UTF-8, before it is
 * read. A request without a body passes; a body that is larger than announced is refused as it comes.
 */
export const acceptJson = () =>
  createMiddleware<ServerEnv>(async function acceptJson(c, next) {
    const length = Number(c.req.header('content-length') ?? 0)
    if (length > MAX_BODY) {
      // what is still to come is not wanted, so the connection cannot be used again
      setHeader(c, 'Connection', 'close')
      throw new AppError('REQUEST.TOO_LARGE', MAX_BODY)
    }
    const hasBody = length > 0 || c.req.header('transfer-encoding') !== undefined
    const type = hasBody ? c.req.header('content-type') : undefined
    if (hasBody && (type === undefined || !JSON_TYPE.test(type))) {
      throw new AppError('REQUEST.UNSUPPORTED_MEDIA_TYPE')
    }
    await next()
  })
