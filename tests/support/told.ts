import { settleTrail } from '../../src/core/audit/trail-keeper.js'
import type { Context } from '../../src/core/context.js'
import { rowsOf } from '../../src/core/db/statements.js'
import { type Action, actions } from '../../src/core/events/actions.js'
import { contentsOf, type Site } from './routes.js'

/** An event of the trail, as far as these tests look into it. */
export type Told = {
  readonly action: string
  readonly objectType: string
  readonly objectId: string
  readonly actorType: string
  readonly actorId: string
  readonly tenantId: string | null
  readonly requestId: string | null
  readonly address: string | null
}

/** What was done came with these events, and left these tables other than they were. */
export type Observed<T> = {
  readonly result: T
  readonly told: readonly Told[]
  readonly changed: readonly string[]
}

/** What tells, what holds on, and what repeats an answer: their rows are not what was changed. */
const MACHINERY =
  /`(audit_logs|outbox|leases|idempotency_keys|webhook_deliveries|validonx_owner)`: /

/** Does something, and sees what the trail was told of it, and what became other. */
export async function observe<T>(
  ctx: Context,
  sites: readonly Site[],
  work: () => Promise<T>,
): Promise<Observed<T>> {
  const settle = () =>
    settleTrail(
      ctx,
      sites.map(({ scope }) => scope.tenant),
    )
  await settle()
  const [last] = await rowsOf<{ id: number | string | null }>(
    ctx.platform,
    'select max(id) as id from audit_logs',
  )
  const before = new Set(await contentsOf(ctx, ...sites))
  const result = await work()
  const changed = (await contentsOf(ctx, ...sites)).filter(
    (table) => !before.has(table) && !MACHINERY.test(table),
  )
  await settle()
  const told = await rowsOf<Told>(
    ctx.platform,
    `select action, object_type as objectType, object_id as objectId, actor_type as actorType, actor_id as actorId,
      tenant_id as tenantId, request_id as requestId, address from audit_logs where id > ? order by id`,
    [last?.id ?? 0],
  )
  return { result, told, changed }
}

/** What is wrong with what was told: not these actions, of another kind of thing, the same twice, or a change untold. */
export function faultsOf(
  expected: readonly Action[],
  { told, changed }: Pick<Observed<unknown>, 'told' | 'changed'>,
): string[] {
  const said = told.map(({ action }) => action).toSorted()
  const wanted = expected.toSorted()
  const things = told.map(({ action, objectId }) => `${action} ${objectId}`)
  return [
    ...(said.join() === wanted.join() ? [] : [`told [${said}], not [${wanted}]`]),
    ...(new Set(things).size === things.length ? [] : [`told twice: ${things}`]),
    ...told
      .filter(({ action, objectType }) => actions[action as Action]?.object !== objectType)
      .map(({ action, objectType }) => `${action} tells of a ${objectType}`),
    ...(told.length === 0 && changed.length > 0 ? [`changed untold: ${changed}`] : []),
  ]
}

/** Every route below `/tenant` that may change something. All others tell nothing, and change nothing. */
export const TOLD_BY_TENANT_ROUTES: Readonly<Record<string, readonly Action[]>> = {
  'POST /products': ['product.created'],
  'PATCH /products/:productId': ['product.updated'],
  'DELETE /products/:productId': ['product.deleted'],
  'POST /licenses': ['license.created'],
  'POST /licenses/batch': ['license.created', 'license.created'],
  'PATCH /licenses/:licenseId': ['license.updated'],
  'POST /licenses/:licenseId/suspend': ['license.suspended'],
  'POST /licenses/:licenseId/reinstate': ['license.reinstated'],
  'POST /licenses/:licenseId/revoke': ['license.revoked'],
  'POST /licenses/:licenseId/renew': ['license.renewed'],
  'POST /licenses/:licenseId/move': ['license.moved'],
  'POST /activations/:activationId/revoke': ['activation.revoked'],
  'POST /api-keys': ['api_key.created'],
  // two keys are not what they were
  'POST /api-keys/:apiKeyId/rotate': ['api_key.created', 'api_key.rotated'],
  'POST /api-keys/:apiKeyId/revoke': ['api_key.revoked'],
  'POST /webhooks': ['webhook_endpoint.created'],
  'PATCH /webhooks/:webhookId': ['webhook_endpoint.updated'],
  'DELETE /webhooks/:webhookId': ['webhook_endpoint.deleted'],
  'POST /webhooks/:webhookId/enable': ['webhook_endpoint.enabled'],
  'POST /webhooks/:webhookId/disable': ['webhook_endpoint.disabled'],
  'POST /webhooks/:webhookId/rotate-secret': ['webhook_endpoint.secret_rotated'],
  'POST /webhooks/:webhookId/test': ['webhook_endpoint.tested'],
  'POST /webhooks/:webhookId/redeliver': ['webhook_endpoint.redelivered'],
  'PATCH /settings': ['settings.updated'],
  'PATCH /branding': ['branding.updated'],
  'PATCH /subscription': ['subscription.updated', 'entitlement.granted', 'entitlement.revoked'],
  'PATCH /members/:userId': ['member.role_changed'],
  'DELETE /members/:userId': ['member.removed'],
  'POST /invitations': ['invitation.created'],
  'DELETE /invitations/:invitationId': ['invitation.revoked'],
  'GET /export': ['tenant.exported'],
}
