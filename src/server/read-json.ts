import type { Context } from 'hono'
import { AppError } from '../core/errors.js'
import type { ServerEnv } from './env.js'

const MAX_DEPTH = 32

/**
 * The request's body as JSON: valid UTF-8, no deeper than 32, and without keys that would reach into
 * an object's prototype.
 *
 * @throws VALIDATION.MALFORMED_JSON
 */
export async function readJson(
  c: Context<ServerEnv>,
  { emptyIs }: { readonly emptyIs?: unknown } = {},
): Promise<unknown> {
  const bytes = await c.req.arrayBuffer()
  if (bytes.byteLength === 0 && emptyIs !== undefined) return emptyIs
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    assertPlain(value, 0)
    return value
  } catch (error) {
    throw new AppError('VALIDATION.MALFORMED_JSON').because(error)
  }
}

function assertPlain(value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return
  if (depth >= MAX_DEPTH) throw new RangeError(`deeper than ${MAX_DEPTH}`)
  for (const [name, own] of Object.entries(value)) {
    if (name === '__proto__') throw new TypeError('a key that is not allowed')
    assertPlain(own, depth + 1)
  }
}
