import { z } from 'zod'
import { API_KEY_SCOPES, type ApiKey, isLive } from '../../core/access/api-key.js'
import { findApiKey, pageApiKeys } from '../../core/access/api-key-store.js'
import { createApiKeyOnce } from '../../core/access/create-api-key.js'
import { revokeApiKeyOnce } from '../../core/access/revoke-api-key.js'
import { rotateApiKeyOnce } from '../../core/access/rotate-api-key.js'
import { AppError } from '../../core/errors.js'
import { DEFAULT_PAGE, pageInput, placeOfCursor, toPage } from '../../core/page.js'
import { instantSchema, parse } from '../../core/parse.js'
import { lineSchema } from '../../core/products/product.js'
import type { OperationCall } from '../operation.js'
import { id, idParameter, pageData, pageOf, preconditionsOf, time } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const apiKeyObject = z.strictObject({
  id,
  name: z.string(),
  prefix: z.string(),
  last_four: z.string(),
  status: z.enum(['live', 'expired', 'revoked']),
  scopes: z.array(z.enum(API_KEY_SCOPES)).nullable().describe('Null: all'),
  last_used_at: time.nullable(),
  expires_at: time.nullable(),
  revoked_at: time.nullable(),
  created_at: time,
})

const toObject = (now: Date) => (key: ApiKey) => ({
  id: key.id,
  name: key.name,
  prefix: key.prefix,
  last_four: key.lastFour,
  status: key.revokedAt ? 'revoked' : isLive(key, now) ? 'live' : 'expired',
  scopes: key.scopes ?? null,
  last_used_at: key.lastUsedAt ?? null,
  expires_at: key.expiresAt ?? null,
  revoked_at: key.revokedAt ?? null,
  created_at: key.createdAt,
})

const apiKeyAnswer = z.strictObject({ api_key: apiKeyObject })
const mintedAnswer = z.strictObject({
  api_key: apiKeyObject,
  secret: z.string().describe('Shown this once'),
})

const rotatedAnswer = mintedAnswer.extend({
  still_working: z
    .array(apiKeyObject)
    .describe('The keys it replaces that still work, newest first, each with its end'),
})

const ListApiKeysQuery = z.strictObject(pageInput)

const CreateApiKeyBody = z.strictObject({
  name: lineSchema(120),
  scopes: z
    .array(z.enum(API_KEY_SCOPES, `must be among ${API_KEY_SCOPES.join(', ')}`))
    .min(1, 'must name at least one scope')
    .max(API_KEY_SCOPES.length, 'names one twice')
    .describe('What it may be used for; everything where absent')
    .optional(),
  expires_at: instantSchema.optional(),
})

const RotateApiKeyBody = z.strictObject({
  grace_seconds: z
    .number('must be a whole number')
    .int('must be a whole number')
    .min(0, 'must be at least 0')
    .max(31_536_000, 'must be at most a year')
    .describe('How long the old key still works; a day by default')
    .optional(),
})

const tag = 'tenant: api keys'
const parameter = idParameter('apiKeyId', 'API key')

/** By its id alone: what it begins or ends with, which operators may type, may be that of another one day. */
async function named({ c, id }: Pick<OperationCall, 'c' | 'id'>): Promise<ApiKey> {
  const { tenant } = c.get('scope')
  const key = await findApiKey(c.get('acting').platform, tenant.id, id)
  if (!key) throw new AppError('API_KEY.NOT_FOUND', id, tenant.slug)
  return key
}

export const apiKeyOperations: readonly TenantOperation[] = [
  {
    id: 'listApiKeys',
    method: 'get',
    path: '/api-keys',
    tag,
    permission: 'api_keys.read',
    summary: 'List API keys',
    description: 'Newest first; never the keys themselves.',
    query: ListApiKeysQuery,
    answers: { 200: { description: 'A page of API keys', schema: pageOf(apiKeyObject) } },
    errors: [],
    async handle({ c, query }) {
      const { limit = DEFAULT_PAGE, cursor } = parse(ListApiKeysQuery, query)
      const [beforeId] = placeOfCursor(cursor, 'api_keys', ['id']) ?? []
      const { platform, now } = c.get('acting')
      const found = await pageApiKeys(platform, c.get('scope').tenant.id, {
        beforeId: beforeId ?? undefined,
        limit: limit + 1,
      })
      const page = toPage(found, limit, 'api_keys', (key) => [key.id])
      return { status: 200, data: pageData(page, toObject(now())) }
    },
  },
  {
    id: 'createApiKey',
    method: 'post',
    path: '/api-keys',
    tag,
    permission: 'api_keys.write',
    summary: 'Create an API key',
    description: 'The key itself is in this answer, and nowhere else.',
    body: { schema: CreateApiKeyBody, example: { name: 'shop', scopes: ['licenses'] } },
    isIdempotent: true,
    answers: { 201: { description: 'Created', schema: mintedAnswer } },
    errors: [],
    async handle(call) {
      const ctx = call.c.get('acting')
      const { name, scopes, expires_at } = parse(CreateApiKeyBody, call.body)
      if (expires_at && expires_at <= ctx.now())
        throw new AppError('VALIDATION.FAILED').with({ expires_at: ['must be in the future'] })
      const { result, replayed } = await createApiKeyOnce(
        ctx,
        {
          slug: call.c.get('scope').tenant.slug,
          name,
          ...(scopes ? { scopes } : {}),
          ...(expires_at ? { expiresAt: expires_at.toISOString() } : {}),
        },
        preconditionsOf(call),
      )
      return {
        status: 201,
        data: { api_key: toObject(ctx.now())(result.key), secret: result.secret },
        replayed,
      }
    },
  },
  {
    id: 'showApiKey',
    method: 'get',
    path: '/api-keys/{apiKeyId}',
    tag,
    permission: 'api_keys.read',
    summary: 'Show an API key',
    description: 'Never the key itself.',
    parameter,
    answers: { 200: { description: 'The API key', schema: apiKeyAnswer } },
    errors: ['API_KEY.NOT_FOUND'],
    async handle({ c, id }) {
      const key = await named({ c, id })
      return { status: 200, data: { api_key: toObject(c.get('acting').now())(key) } }
    },
  },
  {
    id: 'rotateApiKey',
    method: 'post',
    path: '/api-keys/{apiKeyId}/rotate',
    tag,
    permission: 'api_keys.write',
    summary: 'Rotate an API key',
    description:
      'Makes a successor, which is in this answer and nowhere else. The old key works for the grace time, never longer than it would have. A key that was rotated before keeps the end it was promised, unless `grace_seconds` is 0, which ends it at once.',
    parameter,
    body: { schema: RotateApiKeyBody, example: { grace_seconds: 3600 }, isOptional: true },
    isIdempotent: true,
    answers: { 201: { description: 'The successor', schema: rotatedAnswer } },
    errors: ['API_KEY.NOT_FOUND'],
    async handle(call) {
      const ctx = call.c.get('acting')
      const { grace_seconds } = parse(RotateApiKeyBody, call.body)
      const { result, replayed } = await rotateApiKeyOnce(
        ctx,
        {
          slug: call.c.get('scope').tenant.slug,
          key: (await named(call)).id,
          ...(grace_seconds === undefined ? {} : { graceSeconds: grace_seconds }),
        },
        preconditionsOf(call),
      )
      return {
        status: 201,
        data: {
          api_key: toObject(ctx.now())(result.key),
          secret: result.secret,
          still_working: result.stillWorking.map(toObject(ctx.now())),
        },
        replayed,
      }
    },
  },
  {
    id: 'revokeApiKey',
    method: 'post',
    path: '/api-keys/{apiKeyId}/revoke',
    tag,
    permission: 'api_keys.write',
    summary: 'Revoke an API key',
    description: 'For good, in every process within a second.',
    parameter,
    isIdempotent: true,
    answers: { 200: { description: 'The API key', schema: apiKeyAnswer } },
    errors: ['API_KEY.NOT_FOUND', 'API_KEY.INVALID_STATE'],
    async handle(call) {
      const ctx = call.c.get('acting')
      const { result, replayed } = await revokeApiKeyOnce(
        ctx,
        { slug: call.c.get('scope').tenant.slug, key: (await named(call)).id },
        preconditionsOf(call),
      )
      return { status: 200, data: { api_key: toObject(ctx.now())(result) }, replayed }
    },
  },
]
