import { z } from 'zod'
import type { Context } from '../context.js'
import type { IdempotentResult } from '../db/idempotency.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'
import { newId } from '../ids.js'
import { DEFAULT_PAGE, type Page, pageInput, placeOfCursor, toPage } from '../page.js'
import { instantSchema, parse } from '../parse.js'
import type { Preconditions } from '../preconditions.js'
import { inPlatformChange } from '../tenants/platform-change.js'
import { DELIVERY_STATUSES, type Delivery, signatureHeaders } from './delivery.js'
import { listDeliveries, requeueDeliveries } from './delivery-store.js'
import { type Sent, sendDelivery } from './send-delivery.js'
import { secretsIn } from './signing-secrets.js'
import { findSecrets, findWebhookEndpoint } from './webhook-endpoint-store.js'

const status = z.enum(DELIVERY_STATUSES, `must be one of ${DELIVERY_STATUSES.join(', ')}`)

export const ListDeliveriesQuery = z.strictObject({
  ...pageInput,
  status: status.describe('Only those in this state').optional(),
  since: instantSchema.describe('Only those of events since').optional(),
})

/** What went, or goes, to an endpoint; newest first, a page at a time. @throws WEBHOOK.NOT_FOUND */
export async function pageDeliveries(
  ctx: Context,
  tenantId: string,
  endpointId: string,
  query: unknown,
): Promise<Page<Delivery>> {
  const { cursor, limit = DEFAULT_PAGE, ...filter } = parse(ListDeliveriesQuery, query)
  const [beforeId] = placeOfCursor(cursor, 'deliveries', ['id']) ?? []
  await assertThere(ctx, tenantId, endpointId)
  const found = await listDeliveries(ctx.platform, {
    ...filter,
    tenantId,
    endpointId,
    beforeId: beforeId ?? undefined,
    limit: limit + 1,
  })
  return toPage(found, limit, 'deliveries', ({ id }) => [id])
}

export const RedeliverInput = z.strictObject({
  since: instantSchema.describe('Only those of events since').optional(),
  status: status
    .describe('Only those in this state; those that failed where absent')
    .default('failed'),
})

/** Sends again what did not arrive, or all since a time. Answers how many. @throws WEBHOOK.NOT_FOUND */
export async function redeliver(
  ctx: Context,
  tenantId: string,
  endpointId: string,
  input: unknown = {},
  { idempotencyKey }: Preconditions = {},
): Promise<IdempotentResult<number>> {
  const wish = parse(RedeliverInput, input)
  await assertThere(ctx, tenantId, endpointId)
  const request = {
    operation: 'webhooks.redeliver',
    key: idempotencyKey,
    request: { endpointId, wish },
  }
  return inPlatformChange(ctx, tenantId, request, async (transaction) => {
    const at = ctx.now()
    const count = await requeueDeliveries(transaction, { ...wish, tenantId, endpointId }, at)
    await recordAudit(transaction, ctx, tenantId, {
      at,
      action: 'webhook_endpoint.redelivered',
      objectType: 'webhook_endpoint',
      objectId: endpointId,
      changes: { after: { ...wish, deliveries: count } },
    })
    return count
  })
}

export type Tested = { readonly sent: Sent; readonly milliseconds: number }

/**
 * Sends an endpoint a signed event of the type `webhook.test` now, whether it is enabled or not, and answers what came
 * of it.
 *
 * @throws WEBHOOK.NOT_FOUND
 */
export async function testWebhook(
  ctx: Context,
  tenantId: string,
  endpointId: string,
): Promise<Tested> {
  const endpoint = await assertThere(ctx, tenantId, endpointId)
  const at = ctx.now()
  const eventId = newId()
  const payload = JSON.stringify({
    id: `evt_${eventId}`,
    type: 'webhook.test',
    version: '1',
    tenant_id: tenantId,
    created_at: at,
    data: { webhook_endpoint: { id: endpointId } },
  })
  const sealed = await findSecrets(ctx.platform, endpointId, at)
  const secrets = sealed.flatMap((each) => secretsIn(ctx.keyring, endpointId, each, at))
  await recordAudit(ctx.platform, ctx, tenantId, {
    at,
    action: 'webhook_endpoint.tested',
    objectType: 'webhook_endpoint',
    objectId: endpointId,
  })
  const begun = performance.now()
  const headers = signatureHeaders(eventId, payload, at, secrets)
  const sent = await sendDelivery(endpoint.url, payload, headers, {
    allowed: ctx.config.webhookAllow,
  })
  return { sent, milliseconds: Math.round(performance.now() - begun) }
}

async function assertThere(ctx: Context, tenantId: string, endpointId: string) {
  const endpoint = await findWebhookEndpoint(ctx.platform, tenantId, endpointId)
  if (!endpoint) throw new AppError('WEBHOOK.NOT_FOUND')
  return endpoint
}
