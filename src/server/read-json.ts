import type { IncomingMessage } from 'node:http'
import type { Context } from 'hono'
import { AppError } from '../core/errors.js'
import type { ServerEnv } from './env.js'

/** The largest request body, in bytes. */
export const MAX_BODY = 262_144
const MAX_DEPTH = 32

/**
 * The request's body as JSON: valid UTF-8, no deeper than 32. "__proto__" is an own member of its object, which
 * `parse` refuses.
 *
 * @throws VALIDATION.MALFORMED_JSON, VALIDATION.FAILED if it's too deep, REQUEST.TOO_LARGE, REQUEST.UNSUPPORTED_MEDIA_TYPE
 */
export async function readJson(
  c: Context<ServerEnv>,
  { emptyIs }: { readonly emptyIs?: unknown } = {},
): Promise<unknown> {
  const bytes = await readBody(c)
  if (bytes.byteLength === 0 && emptyIs !== undefined) return emptyIs
  if (bytes.byteLength > 0) assertJsonType(c)
  const value = parseJson(bytes)
  if (isDeeper(value, MAX_DEPTH))
    throw new AppError('VALIDATION.FAILED').with({
      body: [`must be at most ${MAX_DEPTH} levels deep`],
    })
  return value
}

/**
 * Node's own stream is read where there is one: asking the framework for the body makes it build a
 * whole Fetch request, which costs as much as all else that we do.
 */
async function readBody(c: Context<ServerEnv>): Promise<Uint8Array> {
  const incoming = c.env?.incoming
  const bytes =
    incoming && typeof incoming.on === 'function'
      ? await collect(incoming)
      : new Uint8Array(await c.req.arrayBuffer())
  if (bytes.byteLength > MAX_BODY) throw new AppError('REQUEST.TOO_LARGE', MAX_BODY)
  return bytes
}

/** Counts what comes, whatever was announced, and stops listening at the first byte too many. */
function collect(incoming: IncomingMessage): Promise<Uint8Array> {
  return new Promise((done, fail) => {
    const chunks: Buffer[] = []
    let size = 0
    const stop = () => {
      incoming.off('data', take).off('end', end).off('error', broken).off('close', broken)
    }
    const take = (chunk: Buffer) => {
      size += chunk.length
      chunks.push(chunk)
      if (size <= MAX_BODY) return
      stop()
      incoming.resume()
      fail(new AppError('REQUEST.TOO_LARGE', MAX_BODY))
    }
    const end = () => {
      stop()
      done(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks))
    }
    const broken = () => {
      stop()
      fail(new AppError('REQUEST.MALFORMED'))
    }
    incoming.on('data', take).on('end', end).on('error', broken).on('close', broken)
  })
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new AppError('VALIDATION.MALFORMED_JSON').because(error)
  }
}

const JSON_TYPE = /^application\/(?:[a-z0-9.+-]+\+)?json$/i
// some clients write "utf8", or quote it in their own way
const CHARSET = /^charset\s*=/i
const UTF_8 = /^charset\s*=\s*(["']?)utf-?8\1$/i

/** JSON has no parameters (RFC 8259, section 11): clients send some all the same, and only a charset matters. */
function isJsonType(header: string): boolean {
  const [type = '', ...parameters] = header.split(';').map((part) => part.trim())
  return JSON_TYPE.test(type) && parameters.every((each) => !CHARSET.test(each) || UTF_8.test(each))
}

/** @throws REQUEST.UNSUPPORTED_MEDIA_TYPE */
export function assertJsonType(c: Context<ServerEnv>): void {
  const encoding = c.req.header('content-encoding')?.trim().toLowerCase() || 'identity'
  if (!isJsonType(c.req.header('content-type') ?? '') || encoding !== 'identity') {
    throw new AppError('REQUEST.UNSUPPORTED_MEDIA_TYPE')
  }
}

const isDeeper = (value: unknown, than: number): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (than === 0 || Object.values(value).some((own) => isDeeper(own, than - 1)))
