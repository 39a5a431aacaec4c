import { createMiddleware } from 'hono/factory'
import { AppError } from '../../core/errors.js'
import type { ServerEnv } from '../env.js'
import { assertJsonType, MAX_BODY } from '../read-json.js'
import { setHeader } from '../set-header.js'

/**
 * Refuses a body that is announced too large, or that does not say it is JSON in UTF-8, before it is
 * read. What is not announced is refused as it comes.
 */
export const limitBody = () =>
  createMiddleware<ServerEnv>(async function limitBody(c, next) {
    const length = Number(c.req.header('content-length') ?? 0)
    if (length > MAX_BODY) {
      // what is still to come is not wanted, so the connection cannot be used again
      setHeader(c, 'Connection', 'close')
      throw new AppError('REQUEST.TOO_LARGE', MAX_BODY)
    }
    if (length > 0) assertJsonType(c)
    await next()
  })
