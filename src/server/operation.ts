import type { Hono, Context as HonoContext } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { z } from 'zod'
import type { ApiKeyScope } from '../core/access/api-key.js'
import { AppError, type ErrorCode } from '../core/errors.js'
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
}

export type OperationResult = {
  readonly status: ContentfulStatusCode
  readonly data: unknown
  /** Marks the answer as that of an earlier, same request. */
  readonly replayed?: boolean
}

/**
 * One endpoint: what routes it, validates it and documents it, in one place. The OpenAPI document is
 * made of the same schemas that the requests and, in the suite, the answers are held against.
 */
export type Operation = {
  readonly id: string
  readonly method: 'post' | 'get'
  /** Below the base, with `{name}` for its variable part. */
  readonly path: string
  /** The group that an API key's scope opens. */
  readonly scope: ApiKeyScope
  readonly summary: string
  readonly description: string
  readonly parameter?: {
    readonly name: string
    readonly description: string
    readonly example: string
  }
  readonly query?: Readonly<
    Record<string, { readonly description: string; readonly values: readonly string[] }>
  >
  readonly body?: { readonly schema: z.ZodType; readonly example: unknown }
  /** Takes the Idempotency-Key header. */
  readonly isIdempotent?: true
  readonly answers: Readonly<
    Record<number, { readonly description: string; readonly schema: z.ZodType }>
  >
  /** Beyond those that every endpoint has. */
  readonly errors: readonly ErrorCode[]
  handle(call: OperationCall): Promise<OperationResult>
}

export const REPLAYED_HEADER = 'Idempotency-Replayed'

export function mount(app: Hono<ServerEnv>, base: string, operations: readonly Operation[]): void {
  for (const each of operations) {
    app.on(each.method, base + each.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (c) => {
      assertScope(c, each.scope)
      const { status, data, replayed } = await each.handle({
        c,
        id: each.parameter ? (c.req.param(each.parameter.name) ?? '') : '',
        body: each.body ? await readJson(c) : await assertNoBody(c),
        query: readQuery(c, each.query ?? {}),
        idempotencyKey: each.isIdempotent ? readIdempotencyKey(c) : undefined,
      })
      if (replayed) setHeader(c, REPLAYED_HEADER, 'true')
      const body = success(data, c.get('requestId'))
      // a status makes the framework build a Fetch header list, so the usual one goes unsaid
      return status === 200 ? c.json(body) : c.json(body, status)
    })
  }
}

const NOTHING: Readonly<Record<string, string>> = {}

function assertScope(c: HonoContext<ServerEnv>, scope: ApiKeyScope): void {
  const scopes = c.get('scopes')
  if (scopes && !scopes.includes(scope)) throw new AppError('AUTH.TOKEN.INVALID_SCOPE', scope)
}

/** An endpoint without a body takes none, or an empty object. */
async function assertNoBody(c: HonoContext<ServerEnv>): Promise<undefined> {
  if (
    c.req.header('content-length') === undefined &&
    c.req.header('transfer-encoding') === undefined
  )
    return
  const body = await readJson(c, { emptyIs: {} })
  const isEmpty =
    typeof body === 'object' &&
    body !== null &&
    !Array.isArray(body) &&
    Object.keys(body).length === 0
  if (!isEmpty) throw new AppError('VALIDATION.FAILED').with({ body: ['must be empty'] })
}

function readQuery(
  c: HonoContext<ServerEnv>,
  known: NonNullable<Operation['query']>,
): Readonly<Record<string, string>> {
  if (!c.req.url.includes('?')) return NOTHING
  const faults: Record<string, string[]> = Object.create(null)
  const given: Record<string, string> = {}
  for (const [name, values] of Object.entries(c.req.queries())) {
    const [value = '', ...more] = values
    const allowed = Object.hasOwn(known, name) ? known[name]?.values : undefined
    if (!allowed) faults[name] = ['is not a known parameter']
    else if (more.length > 0) faults[name] = ['must be given once']
    else if (!allowed.includes(value)) faults[name] = [`must be one of ${allowed.join(', ')}`]
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
