import { z } from 'zod'
import { catalogue, type ErrorCode } from '../core/errors.js'
import { API_VERSION } from './envelope.js'
import { type Operation, REPLAYED_HEADER } from './operation.js'

type Json = Record<string, unknown>

/** What every endpoint behind an API key may answer. */
const COMMON: readonly ErrorCode[] = [
  'AUTH.INVALID_API_KEY',
  'AUTH.API_KEY_REVOKED',
  'AUTH.TOKEN.INVALID_SCOPE',
  'TENANT.STATUS.SUSPENDED',
  'TENANT.INVALID_STATE',
  'RATE_LIMIT.EXCEEDED',
  'REQUEST.MALFORMED',
  'REQUEST.DUPLICATE_HEADER',
  'REQUEST.TIMEOUT',
  'REQUEST.TOO_LARGE',
  'REQUEST.UNSUPPORTED_MEDIA_TYPE',
  'REQUEST.HEADERS_TOO_LARGE',
  'VALIDATION.MALFORMED_JSON',
  'VALIDATION.FAILED',
  'TENANT.DATABASE_MISSING',
  'DATABASE.BUSY',
  'SERVER.UNAVAILABLE',
  'SERVER.INTERNAL',
]

const IDEMPOTENT: readonly ErrorCode[] = [
  'VALIDATION.IDEMPOTENCY_MISMATCH',
  'VALIDATION.IDEMPOTENCY_IN_PROGRESS',
]

/** The OpenAPI 3.1 document of the operations, made of the schemas that validate them. */
export function openApiOf(operations: readonly Operation[], version: string): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'ValidonX Integration API',
      version,
      summary: 'Validates licenses, activates them, checks what they grant and records their use.',
      description:
        'Every answer has the same envelope. The same paths are served under /api/v1 too. Times are RFC 3339 in UTC, ids are opaque strings.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'This server' }],
    security: [{ apiKey: [] }],
    tags: tagsOf(operations),
    paths: Object.fromEntries(
      operations.map((each) => [
        `/v1/integration${each.path}`,
        { [each.method]: operationOf(each) },
      ]),
    ),
    components: {
      securitySchemes: {
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'X-API-Key',
          description: 'vx_ and 39 characters; belongs to one tenant',
        },
      },
      schemas: { Meta: META, Failure: FAILURE },
      headers: HEADERS,
    },
  }
}

const TAGS: Readonly<Record<string, string>> = {
  licenses: 'Is this license valid?',
  activations: 'Which instances use a license',
  entitlements: 'What is granted',
  usage: 'What was used',
}

const tagsOf = (operations: readonly Operation[]): Json[] =>
  [...new Set(operations.map(({ scope }) => scope))].map((name) => ({
    name,
    description: TAGS[name],
  }))

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
  'X-RateLimit-Limit': header(
    'Requests in a window, of the limit that is reached first',
    'integer',
  ),
  'X-RateLimit-Remaining': header('What is left of them', 'integer'),
  'X-RateLimit-Reset': header('When the window ends, in unix seconds', 'integer'),
  RateLimit: header('All limits, as a structured field'),
  'RateLimit-Policy': header('All policies, as a structured field'),
}

const headerRefs = (...more: readonly (readonly [string, Json])[]): Json => ({
  ...Object.fromEntries(
    Object.keys(HEADERS).map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  ),
  ...Object.fromEntries(more),
})

function operationOf(each: Operation): Json {
  return {
    operationId: each.id,
    tags: [each.scope],
    summary: each.summary,
    description: each.description,
    parameters: parametersOf(each),
    ...(each.body
      ? {
          requestBody: {
            required: true,
            content: {
              'application/json': {
                schema: schemaOf(each.body.schema, 'input'),
                example: each.body.example,
              },
            },
          },
        }
      : {}),
    responses: { ...answersOf(each), ...failuresOf(each) },
  }
}

function parametersOf({ parameter, query = {}, isIdempotent }: Operation): Json[] {
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
    ...Object.entries(query).map(([name, { description, values }]) => ({
      name,
      in: 'query',
      description,
      schema: { type: 'string', enum: values },
    })),
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
  ]
}

function answersOf({ answers, isIdempotent }: Operation): Json {
  const replayed = [
    REPLAYED_HEADER,
    header('"true" where this is the answer to an earlier, same request'),
  ] as const
  return Object.fromEntries(
    Object.entries(answers).map(([status, { description, schema }]) => [
      status,
      {
        description,
        headers: headerRefs(...(isIdempotent ? [replayed] : [])),
        content: {
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
}

/** By status, each naming the codes that it may carry. */
function failuresOf({ errors, isIdempotent }: Operation): Json {
  const codes = [...errors, ...COMMON, ...(isIdempotent ? IDEMPOTENT : [])]
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of codes) {
    const { status } = catalogue[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  const retry = ['Retry-After', header('Seconds to wait', 'integer')] as const
  return Object.fromEntries(
    [...byStatus.entries()]
      .sort(([one], [other]) => one - other)
      .map(([status, names]) => [
        status,
        {
          description: names.map((name) => `\`${name}\``).join(', '),
          headers: headerRefs(...(status === 429 || status === 503 ? [retry] : [])),
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
