import type { Hono, Context as HonoContext } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { z } from 'zod'
import type { TenantPlace } from '../core/db/tenant-database-manager.js'
import { AppError, type ErrorCode } from '../core/errors.js'
import { readUuid } from '../core/parse.js'
import type { ServerEnv } from './env.js'
import { success } from './envelope.js'
import { readJson } from './read-json.js'
import { setHeader } from './set-header.js'

/** What a handler gets. */
export type OperationCall = {
  readonly c: HonoContext<ServerEnv>
  /** The path's variable part. */
  readonly id: string
  /** As it came: the verb's first line parses it, for every door alike. */
  readonly body: unknown
  readonly query: Readonly<Record<string, string>>
  readonly idempotencyKey: string | undefined
  readonly ifMatch: string | undefined
}

export type OperationResult = {
  readonly status: ContentfulStatusCode
  readonly data: unknown
  /** Marks the answer as that of an earlier, same request. */
  readonly replayed?: boolean
  /** The version that is shown. */
  readonly etag?: string
}

/**
 * One endpoint: what routes it, validates it and documents it, in one place. The OpenAPI document is
 * made of the same schemas that the requests and, in the suite, the answers are held against.
 */
export type Operation = {
  readonly id: string
  readonly method: 'get' | 'post' | 'patch' | 'delete'
  /** Below the base, with `{name}` for its variable part. */
  readonly path: string
  /** The group that the reference page lists it in. */
  readonly tag: string
  readonly summary: string
  readonly description: string
  readonly parameter?: {
    readonly name: string
    readonly description: string
    readonly example: string
    /** The verb reads any text itself. */
    readonly isVerbatim?: true
  }
  /** Text to whatever the verb makes of it; the verb's own first line parses it. */
  readonly query?: z.ZodObject
  readonly body?: {
    readonly schema: z.ZodType
    readonly example: unknown
    /** No body at all means an empty object. */
    readonly isOptional?: true
  }
  /** Whether it may leave an event in the tenant's outbox; where absent, all but reads may. */
  readonly writes?: boolean
  /** Takes the Idempotency-Key header. */
  readonly isIdempotent?: true
  /** Takes the If-Match header, or, where it reads, If-None-Match; its answers have an ETag. */
  readonly isConditional?: true
  /** Its answers have an ETag, and it takes no such header: what it makes is new, or shown by the clock. */
  readonly isTagged?: true
  /** The media type of an answer that is no JSON. */
  readonly file?: string
  readonly answers: Readonly<
    Record<number, { readonly description: string; readonly schema: z.ZodType }>
  >
  /** Beyond those that every endpoint has. */
  readonly errors: readonly ErrorCode[]
  /** A whole response only where it is no JSON. */
  handle(call: OperationCall): Promise<OperationResult | Response>
}

export const REPLAYED_HEADER = 'Idempotency-Replayed'

/**
 * @param admit decides whether the caller may use an operation at all, before anything is read
 * @param touch is told of a tenant that an operation may have written to
 */
export function mount<Kind extends Operation>(
  app: Hono<ServerEnv>,
  base: string,
  operations: readonly Kind[],
  admit: (c: HonoContext<ServerEnv>, operation: Kind) => void,
  touch: (tenant: TenantPlace) => void,
): void {
  for (const each of operations) {
    app.on(each.method, base + each.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (c) => {
      admit(c, each)
      // a file is made while it is read, and nobody would read it
      if (each.file && c.req.method === 'HEAD')
        throw new AppError('REQUEST.METHOD_NOT_ALLOWED', 'HEAD', ['GET']).with({ allowed: 'GET' })
      const answer = await each.handle({
        c,
        id: each.parameter ? readParameter(c, each.parameter) : '',
        body: each.body
          ? await readJson(c, each.body.isOptional ? { emptyIs: {} } : {})
          : await assertNoBody(c),
        query: readQuery(c, each.query),
        idempotencyKey: each.isIdempotent ? readIdempotencyKey(c) : undefined,
        ifMatch: each.isConditional ? c.req.header('if-match') : undefined,
      })
      const scope = c.get('scope')
      if (scope && each.writes !== false && (each.method !== 'get' || each.writes))
        touch(scope.tenant)
      if (answer instanceof Response) return answer
      const { status, data, replayed, etag } = answer
      if (etag !== undefined) {
        setHeader(c, 'ETag', etag)
        if (
          each.method === 'get' &&
          each.isConditional &&
          isSeen(c.req.header('if-none-match'), etag)
        )
          return c.body(null, 304)
      }
      if (replayed) setHeader(c, REPLAYED_HEADER, 'true')
      const body = success(data, c.get('requestId'))
      // a status makes the framework build a Fetch header list, so the usual one goes unsaid
      return status === 200 ? c.json(body) : c.json(body, status)
    })
  }
}

/**
 * IDs in paths are visible ASCII, and UUIDs may come in upper case. Other text is looked up percent-encoded, so it
 * misses; the database would ignore a blank at its end, and can't compare letters beyond ASCII.
 */
function readParameter(
  c: HonoContext<ServerEnv>,
  { name, isVerbatim }: NonNullable<Operation['parameter']>,
): string {
  const text = c.req.param(name) ?? ''
  if (isVerbatim) return text
  return readUuid(text) ?? (/^[\x21-\x7e]*$/.test(text) ? text : encodeURIComponent(text))
}

const NOTHING: Readonly<Record<string, string>> = {}

/** Whether the caller has this version already (RFC 9110, section 13.1.2). */
const isSeen = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch?.trim() === '*' ||
  ifNoneMatch?.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag) === true

/** An endpoint without a body takes none, or an empty one: `{}`, or what PHP clients send, `[]` and `null`. */
async function assertNoBody(c: HonoContext<ServerEnv>): Promise<undefined> {
  if (
    c.req.header('content-length') === undefined &&
    c.req.header('transfer-encoding') === undefined
  )
    return
  const body = await readJson(c, { emptyIs: null })
  if (body !== null && (typeof body !== 'object' || Object.keys(body).length > 0))
    throw new AppError('VALIDATION.FAILED').with({ body: ['must be empty'] })
}

function readQuery(
  c: HonoContext<ServerEnv>,
  known: z.ZodObject | undefined,
): Readonly<Record<string, string>> {
  if (!c.req.url.includes('?')) return NOTHING
  const faults: Record<string, string[]> = Object.create(null)
  const given: Record<string, string> = {}
  for (const [name, values] of Object.entries(c.req.queries())) {
    const [value = '', ...more] = values
    if (!known || !Object.hasOwn(known.shape, name)) faults[name] = ['is not a known parameter']
    else if (more.length > 0) faults[name] = ['must be given once']
    else given[name] = value
  }
  if (Object.keys(faults).length > 0) throw new AppError('VALIDATION.FAILED').with(faults)
  return given
}

/** The draft's quoted string, or the bare form that clients of other APIs send. */
function readIdempotencyKey(c: HonoContext<ServerEnv>): string | undefined {
  const given = c.req.header('idempotency-key')
  if (given === undefined) return undefined
  const key = /^"(.*)"$/.exec(given)?.[1] ?? given
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new AppError('VALIDATION.FAILED').with({
      'Idempotency-Key': ['must be 1 to 255 visible ASCII characters'],
    })
  }
  return key
}
