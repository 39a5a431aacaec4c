import { z } from 'zod'
import type { Page } from '../../core/page.js'
import type { Preconditions } from '../../core/preconditions.js'
import type { OperationCall } from '../operation.js'

/** What answers of the Tenant API are made of. The suite holds every answer against these. */
export const id = z.string().describe('Opaque id')
export const time = z.iso.datetime().describe('RFC 3339 in UTC')
export const json = z.record(z.string(), z.unknown())

export const pageOf = (item: z.ZodType) =>
  z.strictObject({
    items: z.array(item),
    next_cursor: z.string().nullable().describe('Null on the last page'),
  })

export const pageData = <T>({ items, nextCursor }: Page<T>, toObject: (item: T) => unknown) => ({
  items: items.map(toObject),
  next_cursor: nextCursor ?? null,
})

/** What the caller asks of a change beside the change itself. */
export const preconditionsOf = ({ idempotencyKey, ifMatch }: OperationCall): Preconditions => ({
  idempotencyKey,
  ifMatch,
})

export const EXAMPLE_ID = '01a20a16-e903-7073-8d90-840262d70cf5'

export const idParameter = (name: string, of: string) => ({
  name,
  description: `The ${of}’s id`,
  example: EXAMPLE_ID,
})
