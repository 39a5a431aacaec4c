import { z } from 'zod'
import { AppError } from './errors.js'
import { uuidSchema } from './parse.js'

/** What every list takes: how much at a time, and where to go on. */
export const pageInput = {
  limit: z
    .string()
    .regex(/^\d{1,3}$/, 'must be a whole number from 1 to 100')
    .transform(Number)
    .pipe(z.number().min(1, 'must be at least 1').max(100, 'must be at most 100'))
    .describe('At most so many, 100 at the most; 50 where absent')
    .optional(),
  cursor: z
    .string()
    .max(1_000, 'is no cursor')
    .describe('`next_cursor` of the page before')
    .optional(),
}

export const DEFAULT_PAGE = 50

export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | undefined }

/** The place of the last item of a page in its order. */
export type Place = readonly (string | null)[]

/** What a part of a place is: an id, one that the database counts up, or a time that may be none. */
type PlacePart = 'id' | 'number' | 'time'

const isPart = (value: unknown, part: PlacePart): boolean => {
  if (part === 'id') return uuidSchema.safeParse(value).success
  if (part === 'number') return typeof value === 'string' && /^[1-9]\d{0,18}$/.test(value)
  return value === null || (typeof value === 'string' && isInstant(value))
}

const isInstant = (text: string): boolean => {
  const time = new Date(text)
  return !Number.isNaN(time.getTime()) && time.toISOString() === text
}

/**
 * A page of rows in a total order, of which one more than wanted was read. The next page begins after the
 * last item, wherever that is by then: rows that come or go in between move nothing.
 *
 * @param list what the list and its order are called: a cursor of another is refused
 */
export function toPage<T>(
  found: readonly T[],
  limit: number,
  list: string,
  placeOf: (item: T) => Place,
): Page<T> {
  const items = found.slice(0, limit)
  const last = items.at(-1)
  return {
    items,
    nextCursor:
      found.length > limit && last !== undefined
        ? Buffer.from(JSON.stringify([list, ...placeOf(last)])).toString('base64url')
        : undefined,
  }
}

/** @throws VALIDATION.FAILED where the cursor is none of this list in this order */
export function placeOfCursor(
  cursor: string | undefined,
  list: string,
  parts: readonly PlacePart[],
): Place | undefined {
  if (cursor === undefined) return undefined
  try {
    const [name, ...place] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as Place
    const isWhole =
      parts.length === place.length && parts.every((part, at) => isPart(place[at], part))
    if (name === list && isWhole) return place
  } catch {
    // said below
  }
  throw new AppError('VALIDATION.FAILED').with({
    cursor: ['is no cursor of this list: give next_cursor of a page in the same order'],
  })
}
