import { isIP } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { addMilliseconds } from '../clock.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import type { IdempotentResult } from '../db/idempotency.js'
import { findEntitlementValue } from '../entitlements/entitlement-store.js'
import { setTotal } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../events/audit-store.js'
import { newId } from '../ids.js'
import { DEFAULT_PAGE, type Page, placeOfCursor, toPage } from '../page.js'
import { parse } from '../parse.js'
import { assertMatch, etagOf, type Preconditions } from '../preconditions.js'
import { inPlatformChange } from '../tenants/platform-change.js'
import type { TenantScope } from '../tenants/scope.js'
import { lockTenant } from '../tenants/tenant-store.js'
import { isPublicAddress } from './public-address.js'
import { type EarlierSecret, openEarlier, sealEarlier } from './signing-secrets.js'
import {
  assertWebhookMove,
  CreateWebhookInput,
  ListWebhooksQuery,
  mintWebhookSecret,
  RotateSecretInput,
  UpdateWebhookInput,
  WEBHOOK_MOVES,
  type WebhookEndpoint,
  type WebhookMove,
} from './webhook-endpoint.js'
import {
  countWebhookEndpoints,
  deleteWebhookEndpoint,
  findFreePlaceholder,
  findWebhookEndpoint,
  getSecrets,
  insertWebhookEndpoint,
  listWebhookEndpoints,
  setWebhookEndpoint,
  setWebhookSecret,
} from './webhook-endpoint-store.js'

/** The entitlement that says how many endpoints a tenant may have. */
const LIMIT = 'webhook_endpoints.max'

/** An endpoint and, this one time, its signing secret: it is stored sealed. */
export type WebhookWithSecret = { readonly endpoint: WebhookEndpoint; readonly secret: string }

/** Newest first, a page at a time. */
export async function pageWebhooks(
  ctx: Context,
  tenantId: string,
  query: unknown,
): Promise<Page<WebhookEndpoint>> {
  const { cursor, limit = DEFAULT_PAGE } = parse(ListWebhooksQuery, query)
  const [beforeId] = placeOfCursor(cursor, 'webhooks', ['id']) ?? []
  const found = await listWebhookEndpoints(ctx.platform, tenantId, {
    beforeId: beforeId ?? undefined,
    limit: limit + 1,
  })
  return toPage(found, limit, 'webhooks', ({ id }) => [id])
}

/** @throws WEBHOOK.NOT_FOUND */
export async function getWebhook(
  ctx: Context,
  tenantId: string,
  id: string,
): Promise<WebhookEndpoint> {
  const endpoint = await findWebhookEndpoint(ctx.platform, tenantId, id)
  if (!endpoint) throw new AppError('WEBHOOK.NOT_FOUND')
  return endpoint
}

/**
 * Sets up an endpoint, within the limit of the plan, which holds exactly however many ask at once. The first
 * one takes the place that provisioning kept.
 *
 * @throws ENTITLEMENTS.LIMIT_EXCEEDED with `details`: current and limit
 */
export async function createWebhook(
  ctx: Context,
  scope: TenantScope,
  input: unknown,
  { idempotencyKey }: Preconditions = {},
): Promise<IdempotentResult<WebhookWithSecret>> {
  const wish = parse(CreateWebhookInput, input)
  assertReachable(ctx, wish.url)
  const tenantId = scope.tenant.id
  const request = { operation: 'webhooks.create', key: idempotencyKey, request: wish }
  return inPlatformChange(ctx, tenantId, request, async (transaction) => {
    const current = await lockCount(transaction, tenantId)
    // asked while nobody changes the plan
    const granted = await findEntitlementValue(scope.db, LIMIT)
    const limit = granted === null ? undefined : typeof granted === 'number' ? granted : 0
    if (limit !== undefined && current >= limit) {
      throw new AppError('ENTITLEMENTS.LIMIT_EXCEEDED', LIMIT, limit).with({
        code: LIMIT,
        current,
        limit,
      })
    }
    const at = ctx.now()
    const placeholder = await findFreePlaceholder(transaction, tenantId)
    const secret = mintWebhookSecret()
    const endpoint: WebhookEndpoint = {
      id: placeholder?.id ?? newId(),
      tenantId,
      url: wish.url,
      description: wish.description,
      status: 'enabled',
      events: wish.events,
      previousSecretExpiresAt: undefined,
      disabledReason: undefined,
      revision: (placeholder?.revision ?? 0) + 1,
      createdAt: at,
      updatedAt: at,
    }
    const sealed = ctx.keyring.encrypt(secret, endpoint.id)
    if (placeholder) {
      await setWebhookEndpoint(transaction, endpoint)
      await setWebhookSecret(transaction, endpoint.id, sealed)
    } else await insertWebhookEndpoint(transaction, endpoint, sealed)
    await recordAudit(transaction, ctx, tenantId, {
      at,
      action: 'webhook_endpoint.created',
      objectType: 'webhook_endpoint',
      objectId: endpoint.id,
      changes: { after: shown(endpoint) },
    })
    await follow(ctx, scope, current + 1)
    return { endpoint, secret }
  })
}

/** Changes what is named and leaves the rest. @throws WEBHOOK.NOT_FOUND, REQUEST.PRECONDITION_FAILED */
export async function updateWebhook(
  ctx: Context,
  tenantId: string,
  id: string,
  input: unknown,
  preconditions: Preconditions = {},
): Promise<IdempotentResult<WebhookEndpoint>> {
  const patch = parse(UpdateWebhookInput, input)
  if (patch.url !== undefined) assertReachable(ctx, patch.url)
  return change(ctx, tenantId, id, 'updated', patch, preconditions, (endpoint) => ({
    url: patch.url ?? endpoint.url,
    events: patch.events ?? endpoint.events,
    description:
      patch.description === undefined ? endpoint.description : (patch.description ?? undefined),
  }))
}

/** @throws WEBHOOK.NOT_FOUND, WEBHOOK.INVALID_STATE, REQUEST.PRECONDITION_FAILED */
export const moveWebhook = (
  ctx: Context,
  tenantId: string,
  id: string,
  move: WebhookMove,
  preconditions: Preconditions = {},
): Promise<IdempotentResult<WebhookEndpoint>> =>
  change(ctx, tenantId, id, `${move}d`, {}, preconditions, ({ status }) => {
    assertWebhookMove(move, status)
    return { status: WEBHOOK_MOVES[move].to, disabledReason: undefined }
  })

/**
 * Makes another signing secret. For the grace time the old one signs too, so that a receiver can change over
 * without losing an event. Earlier ones that are in their grace keep the end they were promised; without a
 * grace all of them end at once.
 *
 * @throws WEBHOOK.NOT_FOUND, WEBHOOK.SECRETS_EXCEEDED, REQUEST.PRECONDITION_FAILED
 */
export async function rotateWebhookSecret(
  ctx: Context,
  tenantId: string,
  id: string,
  input: unknown = {},
  preconditions: Preconditions = {},
): Promise<IdempotentResult<WebhookWithSecret>> {
  const { grace_seconds } = parse(RotateSecretInput, input)
  const secret = mintWebhookSecret()
  const { result, replayed } = await change(
    ctx,
    tenantId,
    id,
    'secret_rotated',
    { grace_seconds },
    preconditions,
    async (_endpoint, transaction, at) => {
      const { keyring } = ctx
      const earlier =
        grace_seconds === 0
          ? undefined
          : sealEarlier(
              keyring,
              id,
              await earlierSecrets(ctx, transaction, id, at, grace_seconds * 1000),
            )
      await setWebhookSecret(transaction, id, keyring.encrypt(secret, id), earlier)
      return { previousSecretExpiresAt: earlier?.until, secret }
    },
  )
  // of a repeat, the secret that the first one made
  const { secret: made = secret, ...endpoint } = result as WebhookEndpoint & { secret?: string }
  return { result: { endpoint, secret: made }, replayed }
}

/** The secrets that keep signing after a rotation: the current one for the grace time, and earlier ones until their promised end. */
async function earlierSecrets(
  { keyring }: Context,
  transaction: PlatformDb,
  id: string,
  at: Date,
  graceMs: number,
): Promise<EarlierSecret[]> {
  const { current, earlier, earlierUntil } = await getSecrets(transaction, id)
  const promised =
    earlier === undefined ? [] : openEarlier(keyring, id, earlier, earlierUntil ?? at)
  return [
    { secret: keyring.decrypt(current, id), until: addMilliseconds(at, graceMs) },
    ...promised.filter(({ until }) => until > at),
  ]
}

/** Takes an endpoint away, with what was still to be delivered. @throws WEBHOOK.NOT_FOUND, REQUEST.PRECONDITION_FAILED */
export async function deleteWebhook(
  ctx: Context,
  scope: TenantScope,
  id: string,
  { ifMatch }: Preconditions = {},
): Promise<void> {
  const tenantId = scope.tenant.id
  const request = { operation: 'webhooks.delete', key: undefined, request: { id } }
  await inPlatformChange(ctx, tenantId, request, async (transaction) => {
    const current = await lockCount(transaction, tenantId)
    const endpoint = await findWebhookEndpoint(transaction, tenantId, id, { lock: true })
    if (!endpoint) throw new AppError('WEBHOOK.NOT_FOUND')
    assertMatch(ifMatch, etagOf(endpoint.revision))
    const at = ctx.now()
    await deleteWebhookEndpoint(transaction, id, ctx.keyring.encrypt(mintWebhookSecret(), id), at)
    await recordAudit(transaction, ctx, tenantId, {
      at,
      action: 'webhook_endpoint.deleted',
      objectType: 'webhook_endpoint',
      objectId: id,
      changes: { before: shown(endpoint) },
    })
    await follow(ctx, scope, current - 1)
  })
}

type Changes = Partial<WebhookEndpoint> & { readonly secret?: string }

async function change(
  ctx: Context,
  tenantId: string,
  id: string,
  what: 'updated' | 'secret_rotated' | 'enabled' | 'disabled',
  request: unknown,
  { idempotencyKey, ifMatch }: Preconditions,
  decide: (
    endpoint: WebhookEndpoint,
    transaction: PlatformDb,
    at: Date,
  ) => Changes | Promise<Changes>,
): Promise<IdempotentResult<WebhookEndpoint>> {
  return inPlatformChange(
    ctx,
    tenantId,
    { operation: `webhooks.${what}`, key: idempotencyKey, request: { id, request } },
    async (transaction) => {
      const endpoint = await findWebhookEndpoint(transaction, tenantId, id, { lock: true })
      if (!endpoint) throw new AppError('WEBHOOK.NOT_FOUND')
      assertMatch(ifMatch, etagOf(endpoint.revision))
      const at = ctx.now()
      const changed = {
        ...endpoint,
        ...(await decide(endpoint, transaction, at)),
        revision: endpoint.revision + 1,
        updatedAt: at,
      }
      if (what === 'updated' && isDeepStrictEqual(shown(endpoint), shown(changed))) return endpoint
      await setWebhookEndpoint(transaction, changed)
      await recordAudit(transaction, ctx, tenantId, {
        at,
        action: `webhook_endpoint.${what}`,
        objectType: 'webhook_endpoint',
        objectId: id,
        changes: { before: shown(endpoint), after: shown(changed) },
      })
      return changed
    },
  )
}

/**
 * What can be seen without asking for the name's address; that is looked at with each delivery.
 *
 * @throws VALIDATION.FAILED
 */
function assertReachable({ config }: Context, text: string): void {
  const { protocol, hostname } = new URL(text)
  const host = hostname.replace(/^\[|\]$/g, '')
  const fault =
    protocol === 'http:' && config.webhookAllow.length === 0
      ? 'must be an https URL'
      : isIP(host) && !isPublicAddress(host, config.webhookAllow)
        ? 'must not point at an address that is not public'
        : undefined
  if (fault) throw new AppError('VALIDATION.FAILED').with({ url: [fault] })
}

/** How many there are; until the transaction ends nobody adds or takes one away. */
async function lockCount(transaction: PlatformDb, tenantId: string): Promise<number> {
  await lockTenant(transaction, tenantId)
  return countWebhookEndpoints(transaction, tenantId)
}

/** The tenant's own counter says the same; where it cannot be written, the next change does it. */
async function follow(ctx: Context, scope: TenantScope, count: number): Promise<void> {
  try {
    await setTotal(scope.db, LIMIT, count, scope.now())
  } catch (error) {
    ctx.log.warn('the counter of webhook endpoints could not be written', { error })
  }
}

const shown = ({ url, status, events, description }: WebhookEndpoint) => ({
  url,
  status,
  events,
  description: description ?? null,
})
