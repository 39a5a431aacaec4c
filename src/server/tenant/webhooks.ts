import { z } from 'zod'
import { etagOf } from '../../core/preconditions.js'
import {
  createWebhook,
  deleteWebhook,
  getWebhook,
  moveWebhook,
  pageWebhooks,
  rotateWebhookSecret,
  updateWebhook,
} from '../../core/webhooks/change-webhooks.js'
import { DELIVERY_STATUSES, toDeliveryObject } from '../../core/webhooks/delivery.js'
import {
  ListDeliveriesQuery,
  pageDeliveries,
  RedeliverInput,
  redeliver,
  testWebhook,
} from '../../core/webhooks/handle-deliveries.js'
import {
  CreateWebhookInput,
  ListWebhooksQuery,
  RotateSecretInput,
  toWebhookObject,
  UpdateWebhookInput,
  WEBHOOK_EVENTS,
  WEBHOOK_STATUSES,
  type WebhookEndpoint,
  type WebhookMove,
} from '../../core/webhooks/webhook-endpoint.js'
import type { OperationCall } from '../operation.js'
import { id, idParameter, pageData, pageOf, preconditionsOf, time } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const webhookObject = z.strictObject({
  id,
  url: z.string(),
  description: z.string().nullable(),
  status: z.enum(WEBHOOK_STATUSES),
  events: z.array(z.enum(WEBHOOK_EVENTS)),
  previous_secret_expires_at: time.nullable().describe('Until then earlier secrets sign too'),
  disabled_reason: z.string().nullable(),
  created_at: time,
  updated_at: time,
})

const deliveryObject = z.strictObject({
  id,
  event_id: id,
  event_type: z.string(),
  status: z.enum(DELIVERY_STATUSES),
  attempts: z.number(),
  next_attempt_at: time.nullable(),
  response_status: z.number().nullable(),
  last_error: z.string().nullable(),
  delivered_at: time.nullable(),
  created_at: time,
})

const webhookAnswer = z.strictObject({ webhook: webhookObject })
const withSecret = z.strictObject({
  webhook: webhookObject,
  secret: z.string().describe('For verifying signatures; shown this once'),
})

const shown = (endpoint: WebhookEndpoint) => ({
  status: 200 as const,
  data: { webhook: toWebhookObject(endpoint) },
  etag: etagOf(endpoint.revision),
})

/** The house with the caller in it, and the tenant. */
const of = ({ c }: OperationCall) => [c.get('acting'), c.get('scope').tenant.id] as const

const tag = 'tenant: webhooks'
const parameter = idParameter('webhookId', 'endpoint')

const move = (name: WebhookMove, summary: string, description: string): TenantOperation => ({
  id: `${name}Webhook`,
  method: 'post',
  path: `/webhooks/{webhookId}/${name}`,
  tag,
  permission: 'webhooks.write',
  summary,
  description,
  parameter,
  isIdempotent: true,
  isConditional: true,
  answers: { 200: { description: 'The endpoint', schema: webhookAnswer } },
  errors: ['WEBHOOK.NOT_FOUND', 'WEBHOOK.INVALID_STATE'],
  async handle(call) {
    const { result, replayed } = await moveWebhook(
      ...of(call),
      call.id,
      name,
      preconditionsOf(call),
    )
    return { ...shown(result), replayed }
  },
})

export const webhookOperations: readonly TenantOperation[] = [
  {
    id: 'listWebhooks',
    method: 'get',
    path: '/webhooks',
    tag,
    permission: 'webhooks.read',
    summary: 'List webhook endpoints',
    description: 'Newest first; never their secrets.',
    query: ListWebhooksQuery,
    answers: { 200: { description: 'A page of endpoints', schema: pageOf(webhookObject) } },
    errors: [],
    handle: async (call) => ({
      status: 200,
      data: pageData(await pageWebhooks(...of(call), call.query), toWebhookObject),
    }),
  },
  {
    id: 'createWebhook',
    method: 'post',
    path: '/webhooks',
    tag,
    permission: 'webhooks.write',
    summary: 'Create a webhook endpoint',
    description: 'Within the limit of the plan. The secret is in this answer, and nowhere else.',
    isTagged: true,
    body: {
      schema: CreateWebhookInput,
      example: { url: 'https://hooks.example.com/validonx', events: ['license.revoked'] },
    },
    isIdempotent: true,
    answers: { 201: { description: 'Created', schema: withSecret } },
    errors: ['ENTITLEMENTS.LIMIT_EXCEEDED'],
    async handle(call) {
      const { result, replayed } = await createWebhook(
        call.c.get('acting'),
        call.c.get('scope'),
        call.body,
        preconditionsOf(call),
      )
      const { endpoint, secret } = result
      return {
        status: 201,
        data: { webhook: toWebhookObject(endpoint), secret },
        etag: etagOf(endpoint.revision),
        replayed,
      }
    },
  },
  {
    id: 'showWebhook',
    method: 'get',
    path: '/webhooks/{webhookId}',
    tag,
    permission: 'webhooks.read',
    summary: 'Show a webhook endpoint',
    description: 'With an ETag for If-Match; never its secret.',
    parameter,
    isConditional: true,
    answers: { 200: { description: 'The endpoint', schema: webhookAnswer } },
    errors: ['WEBHOOK.NOT_FOUND'],
    handle: async (call) => shown(await getWebhook(...of(call), call.id)),
  },
  {
    id: 'updateWebhook',
    method: 'patch',
    path: '/webhooks/{webhookId}',
    tag,
    permission: 'webhooks.write',
    summary: 'Change a webhook endpoint',
    description: 'A merge patch.',
    parameter,
    body: { schema: UpdateWebhookInput, example: { events: ['license.created'] } },
    isConditional: true,
    answers: { 200: { description: 'The endpoint', schema: webhookAnswer } },
    errors: ['WEBHOOK.NOT_FOUND'],
    handle: async (call) =>
      shown((await updateWebhook(...of(call), call.id, call.body, preconditionsOf(call))).result),
  },
  {
    id: 'deleteWebhook',
    method: 'delete',
    path: '/webhooks/{webhookId}',
    tag,
    permission: 'webhooks.write',
    summary: 'Delete a webhook endpoint',
    description: 'With what was still to be delivered to it.',
    parameter,
    isConditional: true,
    answers: {
      200: { description: 'Deleted', schema: z.strictObject({ deleted: z.literal(true) }) },
    },
    errors: ['WEBHOOK.NOT_FOUND'],
    async handle(call) {
      const { c } = call
      await deleteWebhook(c.get('acting'), c.get('scope'), call.id, preconditionsOf(call))
      return { status: 200, data: { deleted: true } }
    },
  },
  move('enable', 'Enable a webhook endpoint', 'Events are sent to it from now on.'),
  move('disable', 'Disable a webhook endpoint', 'No events are sent to it until it is enabled.'),
  {
    id: 'rotateWebhookSecret',
    method: 'post',
    path: '/webhooks/{webhookId}/rotate-secret',
    tag,
    permission: 'webhooks.write',
    summary: 'Rotate the signing secret',
    description:
      'The new secret is in this answer, and nowhere else. For the grace time the old secret signs too, and so do earlier ones until the end they were promised. `grace_seconds` 0 ends all of them at once.',
    parameter,
    body: { schema: RotateSecretInput, example: { grace_seconds: 3600 }, isOptional: true },
    isIdempotent: true,
    isConditional: true,
    answers: { 200: { description: 'The endpoint and its new secret', schema: withSecret } },
    errors: ['WEBHOOK.NOT_FOUND', 'WEBHOOK.SECRETS_EXCEEDED'],
    async handle(call) {
      const { result, replayed } = await rotateWebhookSecret(
        ...of(call),
        call.id,
        call.body,
        preconditionsOf(call),
      )
      const { endpoint, secret } = result
      return {
        status: 200,
        data: { webhook: toWebhookObject(endpoint), secret },
        etag: etagOf(endpoint.revision),
        replayed,
      }
    },
  },
  {
    id: 'listDeliveries',
    method: 'get',
    path: '/webhooks/{webhookId}/deliveries',
    tag,
    permission: 'webhooks.read',
    summary: 'List deliveries',
    description: 'What went, or goes, to an endpoint, newest first.',
    parameter,
    query: ListDeliveriesQuery,
    answers: { 200: { description: 'A page of deliveries', schema: pageOf(deliveryObject) } },
    errors: ['WEBHOOK.NOT_FOUND'],
    handle: async (call) => ({
      status: 200,
      data: pageData(await pageDeliveries(...of(call), call.id, call.query), toDeliveryObject),
    }),
  },
  {
    id: 'testWebhook',
    method: 'post',
    path: '/webhooks/{webhookId}/test',
    tag,
    permission: 'webhooks.write',
    summary: 'Test a webhook endpoint',
    description:
      'Sends a signed event of the type `webhook.test` now, whether the endpoint is enabled or not, and tells what it answered.',
    parameter,
    answers: {
      200: {
        description: 'What came of it',
        schema: z.strictObject({
          taken: z.boolean(),
          status: z.number().nullable(),
          error: z.string().nullable(),
          milliseconds: z.number(),
        }),
      },
    },
    errors: ['WEBHOOK.NOT_FOUND'],
    async handle(call) {
      const { sent, milliseconds } = await testWebhook(...of(call), call.id)
      const status = 'status' in sent ? sent.status : null
      return {
        status: 200,
        data: {
          taken: status !== null && status >= 200 && status < 300,
          status,
          error: 'error' in sent ? sent.error : null,
          milliseconds,
        },
      }
    },
  },
  {
    id: 'redeliver',
    method: 'post',
    path: '/webhooks/{webhookId}/redeliver',
    tag,
    permission: 'webhooks.write',
    summary: 'Deliver again',
    description: 'What failed, or what the body says, is sent again, from the first attempt on.',
    parameter,
    body: { schema: RedeliverInput, example: { since: '2026-11-24T00:00:00Z' }, isOptional: true },
    isIdempotent: true,
    answers: {
      200: {
        description: 'How many are on their way',
        schema: z.strictObject({ deliveries: z.number() }),
      },
    },
    errors: ['WEBHOOK.NOT_FOUND'],
    async handle(call) {
      const { result, replayed } = await redeliver(
        ...of(call),
        call.id,
        call.body,
        preconditionsOf(call),
      )
      return { status: 200, data: { deliveries: result }, replayed }
    },
  },
]
