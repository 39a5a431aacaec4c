import { bodyLimit } from 'hono/body-limit'
import { createMiddleware } from 'hono/factory'
import { AppError } from '../../core/errors.js'
import type { ServerEnv } from '../env.js'

/** The largest request body, in bytes. */
export const MAX_BODY = 262_144

/** Refuses a body that is too large, however it is announced. */
export const limitBody = () =>
  bodyLimit({
    maxSize: MAX_BODY,
    onError: () => {
      throw new AppError('REQUEST.TOO_LARGE', MAX_BODY)
    },
  })

const JSON_TYPE = /^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;\s*charset="?utf-8"?\s*)?$/i

/** Refuses a body that does not say it is JSON in UTF-8. A request without a body passes. */
export const acceptJson = () =>
  createMiddleware<ServerEnv>(async function acceptJson(c, next) {
    const type = c.req.header('content-type')
    const hasBody =
      Number(c.req.header('content-length') ?? 0) > 0 ||
      c.req.header('transfer-encoding') !== undefined
    if (hasBody && (type === undefined || !JSON_TYPE.test(type)))
      throw new AppError('REQUEST.UNSUPPORTED_MEDIA_TYPE')
    await next()
  })
