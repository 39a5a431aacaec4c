import type { PlatformDb } from '../db/connect.js'
import { payloadOf } from '../webhooks/delivery.js'
import { insertDeliveries, listSubscriptions } from '../webhooks/delivery-store.js'
import { WEBHOOK_EVENTS } from '../webhooks/webhook-endpoint.js'
import type { AuditRecord } from './audit-record.js'
import type { Seal } from './audit-record-store.js'

const told: ReadonlySet<string> = new Set(WEBHOOK_EVENTS)

/**
 * What endpoints want to be told of, in the transaction that seals it: each sealed event is on its way to each of
 * them, once, in the order of the trail.
 */
export async function enqueueDeliveries(
  transaction: PlatformDb,
  records: readonly AuditRecord[],
  seals: readonly Seal[],
  at: Date,
): Promise<void> {
  const events = records.flatMap((record, index) => {
    const sequence = seals[index]?.sequence ?? 0
    const { tenantId, action } = record
    return tenantId !== null && told.has(action) ? [{ ...record, tenantId, sequence }] : []
  })
  const tenantIds = [...new Set(events.map(({ tenantId }) => tenantId))]
  const subscriptions = await listSubscriptions(transaction, tenantIds)
  await insertDeliveries(
    transaction,
    events.flatMap((event) =>
      subscriptions
        .filter(
          ({ tenantId, events: wanted }) =>
            tenantId === event.tenantId && wanted.includes(event.action),
        )
        .map(({ endpointId, tenantId }) => ({
          endpointId,
          tenantId,
          eventId: event.eventId,
          eventType: event.action,
          payload: payloadOf(event),
        })),
    ),
    at,
  )
}
