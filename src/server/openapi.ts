import { z } from 'zod'
import { catalogue, type ErrorCode } from '../core/errors.js'
import type { ApiGroup } from './api-group.js'
import { API_VERSION } from './envelope.js'
import { type Operation, REPLAYED_HEADER } from './operation.js'

type Json = Record<string, unknown>

/** What every endpoint may answer. */
const COMMON: readonly ErrorCode[] = [
  'REQUEST.MALFORMED',
  'REQUEST.DUPLICATE_HEADER',
  'REQUEST.TIMEOUT',
  'REQUEST.TOO_LARGE',
  'REQUEST.UNSUPPORTED_MEDIA_TYPE',
  'REQUEST.HEADERS_TOO_LARGE',
  'VALIDATION.MALFORMED_JSON',
  'VALIDATION.FAILED',
  'SERVER.UNAVAILABLE',
  'SERVER.INTERNAL',
]

const IDEMPOTENT: readonly ErrorCode[] = [
  'VALIDATION.IDEMPOTENCY_MISMATCH',
  'VALIDATION.IDEMPOTENCY_IN_PROGRESS',
]

/** The OpenAPI 3.1 document of the operations, made of the schemas that validate them. */
export function openApiOf(groups: readonly ApiGroup[], version: string): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'ValidonX API',
      version,
      summary:
        'Validates and activates licenses for programs; manages them for the people who sell them.',
      description:
        'The Integration API is for programs, with an API key. The Tenant API is for dashboards and scripts, with a token of a user. Every answer has the same envelope. The same paths are served under /api/v1 too. Times are RFC 3339 in UTC, ids are opaque strings. Lists go page by page: give `next_cursor` of one page as `cursor` of the next. Updates are JSON Merge Patch (RFC 7396).',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'This server' }],
    tags: tagsOf(groups),
    paths: pathsOf(groups),
    components: {
      securitySchemes: {
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'X-API-Key',
          description: 'vx_ and 39 characters; belongs to one tenant',
        },
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'A Laravel Sanctum personal access token: `id|secret`',
        },
      },
      schemas: { Meta: META, Failure: FAILURE },
      headers: { ...HEADERS, ...LIMIT_HEADERS },
    },
  }
}

function pathsOf(groups: readonly ApiGroup[]): Json {
  const paths: Record<string, Json> = {}
  for (const group of groups) {
    for (const each of group.operations) {
      const path = `/v1${group.base}${each.path}`
      paths[path] = { ...paths[path], [each.method]: operationOf(group, each) }
    }
  }
  return paths
}

const TAGS: Readonly<Record<string, string>> = {
  licenses: 'Is this license valid?',
  activations: 'Which instances use a license',
  entitlements: 'What is granted',
  usage: 'What was used',
  auth: 'Who is calling',
  'tenant: products': 'What licenses are issued for',
  'tenant: licenses': 'Issue, change and end licenses',
  'tenant: activations': 'Seats that are taken',
  'tenant: entitlements': 'What the tenant is granted',
  'tenant: usage': 'What was used, event by event and by period',
  'tenant: api keys': 'Keys of the Integration API',
  'tenant: webhooks': 'Where events are sent',
  'tenant: settings': 'How the tenant wants things done, and how it looks',
  'tenant: billing': 'Subscription, plan and invoices',
  'tenant: members': 'Who runs the tenant',
  'tenant: audit': 'What was done, and by whom',
  'tenant: export': 'All of it, to take along',
}

const tagsOf = (groups: readonly ApiGroup[]): Json[] =>
  [...new Set(groups.flatMap(({ operations }) => operations.map(({ tag }) => tag)))].map(
    (name) => ({ name, description: TAGS[name] }),
  )

const META: Json = {
  type: 'object',
  required: ['request_id', 'api_version'],
  properties: {
    request_id: { type: 'string' },
    api_version: { type: 'string', const: API_VERSION },
  },
  additionalProperties: false,
}

const FAILURE: Json = {
  type: 'object',
  required: ['error', 'meta'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message', 'type', 'status', 'details'],
      properties: {
        code: { type: 'string', pattern: '^[A-Z_]+(\\.[A-Z_]+)+$' },
        message: { type: 'string' },
        type: { type: 'string' },
        status: { type: 'integer' },
        details: { type: 'object' },
      },
      additionalProperties: false,
    },
    meta: { $ref: '#/components/schemas/Meta' },
  },
  additionalProperties: false,
}

const header = (description: string, type = 'string'): Json => ({ description, schema: { type } })

const HEADERS: Json = {
  'X-Request-ID': header("The request's name: the caller's, or a new one"),
  'X-ValidonX-API-Version': header('The version of the API'),
}

const LIMIT_HEADERS: Json = {
  'X-RateLimit-Limit': header(
    'Requests in a window, of the limit that is reached first',
    'integer',
  ),
  'X-RateLimit-Remaining': header('What is left of them', 'integer'),
  'X-RateLimit-Reset': header('When the window ends, in unix seconds', 'integer'),
  RateLimit: header('All limits, as a structured field'),
  'RateLimit-Policy': header('All policies, as a structured field'),
}

type Extra = readonly (readonly [string, Json])[]

const headerRefs = ({ showsLimits }: ApiGroup, more: Extra = []): Json => ({
  ...Object.fromEntries(
    Object.keys(showsLimits ? { ...HEADERS, ...LIMIT_HEADERS } : HEADERS).map((name) => [
      name,
      { $ref: `#/components/headers/${name}` },
    ]),
  ),
  ...Object.fromEntries(more),
})

function operationOf(group: ApiGroup, each: ApiGroup['operations'][number]): Json {
  return {
    operationId: each.id,
    tags: [each.tag],
    summary: each.summary,
    description: each.description,
    security: each.isPublic ? [] : [{ [group.credential]: [] }],
    parameters: parametersOf(group, each),
    ...(each.body
      ? {
          requestBody: {
            required: !each.body.isOptional,
            content: {
              'application/json': {
                schema: schemaOf(each.body.schema, 'input'),
                example: each.body.example,
              },
            },
          },
        }
      : {}),
    responses: { ...answersOf(group, each), ...failuresOf(group, each) },
  }
}

function parametersOf(
  { choosesTenant }: ApiGroup,
  { method, parameter, query, isIdempotent, isConditional }: Operation,
): Json[] {
  return [
    ...(parameter
      ? [
          {
            name: parameter.name,
            in: 'path',
            required: true,
            description: parameter.description,
            schema: { type: 'string' },
            example: parameter.example,
          },
        ]
      : []),
    ...Object.entries(query?.shape ?? {}).map(([name, schema]) => {
      const { description, ...rest } = schemaOf(schema as z.ZodType, 'input')
      return { name, in: 'query', ...(description ? { description } : {}), schema: rest }
    }),
    ...(choosesTenant
      ? [
          {
            name: 'X-Tenant-ID',
            in: 'header',
            description: 'Which of the caller’s tenants; needed where there are several',
            schema: { type: 'string', format: 'uuid' },
          },
        ]
      : []),
    ...(isIdempotent
      ? [
          {
            name: 'Idempotency-Key',
            in: 'header',
            description:
              'A repeat with the same key and body gets the first answer; kept for 24 hours',
            schema: { type: 'string', minLength: 1, maxLength: 255 },
          },
        ]
      : []),
    ...(isConditional
      ? [
          {
            name: method === 'get' ? 'If-None-Match' : 'If-Match',
            in: 'header',
            description:
              method === 'get'
                ? 'An ETag that was read: 304 where it is the same still'
                : 'The ETag that was read: the change is refused where it is another by now',
            schema: { type: 'string' },
          },
        ]
      : []),
  ]
}

function answersOf(
  group: ApiGroup,
  { method, answers, isIdempotent, isConditional, isTagged = isConditional, file }: Operation,
): Json {
  const extra: Extra = [
    ...(isIdempotent
      ? [
          [
            REPLAYED_HEADER,
            header('"true" where this is the answer to an earlier, same request'),
          ] as const,
        ]
      : []),
    ...(isTagged && method !== 'delete'
      ? [['ETag', header('The version that is shown')] as const]
      : []),
  ]
  const content = Object.fromEntries(
    Object.entries(answers).map(([status, { description, schema }]) => [
      status,
      {
        description,
        headers: headerRefs(group, extra),
        content: file
          ? { [file]: { schema: { type: 'string', format: 'binary' } } }
          : {
              'application/json': {
                schema: {
                  type: 'object',
                  required: ['data', 'meta'],
                  properties: {
                    data: schemaOf(schema, 'output'),
                    meta: { $ref: '#/components/schemas/Meta' },
                  },
                  additionalProperties: false,
                },
              },
            },
      },
    ]),
  )
  if (method !== 'get' || !isConditional) return content
  return {
    ...content,
    304: { description: 'The version that the caller has', headers: headerRefs(group, extra) },
  }
}

/** By status, each naming the codes that it may carry. */
function failuresOf(group: ApiGroup, each: ApiGroup['operations'][number]): Json {
  const codes: readonly ErrorCode[] = [
    ...each.errors,
    ...(each.isPublic ? [] : group.errors),
    ...COMMON,
    ...(each.isIdempotent ? IDEMPOTENT : []),
    ...(each.isConditional && each.method !== 'get'
      ? (['REQUEST.PRECONDITION_FAILED'] as const)
      : []),
  ]
  const byStatus = new Map<number, Set<ErrorCode>>()
  for (const code of codes) {
    const { status } = catalogue[code]
    byStatus.set(status, (byStatus.get(status) ?? new Set()).add(code))
  }
  const retry = ['Retry-After', header('Seconds to wait', 'integer')] as const
  return Object.fromEntries(
    [...byStatus.entries()]
      .sort(([one], [other]) => one - other)
      .map(([status, names]) => [
        status,
        {
          description: [...names].map((name) => `\`${name}\``).join(', '),
          headers: headerRefs(group, status === 429 || status === 503 ? [retry] : []),
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Failure' } } },
        },
      ]),
  )
}

/** What has no form in JSON Schema (a refinement across fields) is said in the description instead. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json
  return rest
}
