import type { AppError } from '../core/errors.js'

/** The version of the published API that every answer names. */
export const API_VERSION = '1'

export type Meta = { readonly request_id: string; readonly api_version: string }

export const metaOf = (requestId: string): Meta => ({
  request_id: requestId,
  api_version: API_VERSION,
})

export const success = <Data>(data: Data, requestId: string): { data: Data; meta: Meta } => ({
  data,
  meta: metaOf(requestId),
})

/** The contract's failure. The cause stays here: it may hold statements, values and paths. */
export const failure = (error: AppError, requestId: string) => ({
  error: {
    code: error.code,
    message: error.message,
    type: error.domain,
    status: error.status,
    details: error.details,
  },
  meta: metaOf(requestId),
})
