import { createHmac } from 'node:crypto'
import { Webhook } from 'standardwebhooks'

/** `pending` is to be tried, now or later; `failed` was tried for the last time. */
export const DELIVERY_STATUSES = ['pending', 'delivered', 'failed', 'cancelled'] as const
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number]

/** One event on its way to one endpoint. */
export type Delivery = {
  readonly id: string
  readonly endpointId: string
  readonly tenantId: string
  readonly eventId: string
  readonly eventType: string
  readonly payload: string
  readonly status: DeliveryStatus
  readonly attempts: number
  readonly nextAttemptAt: Date | undefined
  readonly responseStatus: number | undefined
  readonly lastError: string | undefined
  readonly deliveredAt: Date | undefined
  readonly createdAt: Date
}

const [SECOND, MINUTE, HOUR] = [1_000, 60_000, 3_600_000]

/** Pauses between attempts, about three days in all: what Standard Webhooks gives as its example. */
const PAUSES_MS = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
]
const JITTER = 0.2
const LONGEST_RETRY_AFTER_MS = 24 * HOUR

/**
 * How long to wait after so many attempts, in ms; undefined after the last. Spread by a fifth, so that what failed
 * together does not come back together; a receiver may ask for more time.
 *
 * @param random from 0 up to, but not, 1
 */
export function pauseAfter(
  attempts: number,
  retryAfterMs: number | undefined,
  random: number,
): number | undefined {
  const pause = PAUSES_MS[attempts - 1]
  if (pause === undefined) return undefined
  const spread = pause * (1 - JITTER / 2 + JITTER * random)
  return Math.max(spread, Math.min(retryAfterMs ?? 0, LONGEST_RETRY_AFTER_MS))
}

/** `Retry-After` in ms: seconds, or a date (RFC 9110, section 10.2.3). */
export function readRetryAfter(header: string | undefined, now: Date): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, at - now.getTime())
}

/** What the published payload says of an event of the trail. */
export function payloadOf(event: {
  readonly eventId: string
  readonly action: string
  readonly tenantId: string
  readonly occurredAt: string
  readonly objectType: string
  readonly objectId: string
  readonly changes: unknown
  readonly sequence: number
}): string {
  const { before = null, after = {} } = (event.changes ?? {}) as Record<string, object | undefined>
  return JSON.stringify({
    id: `evt_${event.eventId}`,
    type: event.action,
    version: '1',
    tenant_id: event.tenantId,
    created_at: event.occurredAt,
    data: {
      [event.objectType]: { id: event.objectId, ...after },
      previous: before,
      // rises with each event of an object: what comes late is told by it
      sequence: event.sequence,
    },
  })
}

/**
 * The headers that prove where a delivery comes from: those of Standard Webhooks, with a signature under each secret
 * that is good, and the published one, hex HMAC-SHA256 of the body under the secret as it was shown.
 */
export function signatureHeaders(
  eventId: string,
  payload: string,
  at: Date,
  secrets: readonly string[],
): Record<string, string> {
  const id = `evt_${eventId}`
  const [current = '', ...earlier] = secrets
  const hex = (secret: string) => createHmac('sha256', secret).update(payload).digest('hex')
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': secrets
      .map((secret) => new Webhook(secret).sign(id, at, payload))
      .join(' '),
    'X-ValidonX-Signature': hex(current),
    ...(earlier.length === 0
      ? {}
      : { 'X-ValidonX-Signature-Previous': earlier.map(hex).join(',') }),
  }
}

/** As the API answers it and `--json` prints it. */
export const toDeliveryObject = (delivery: Delivery) => ({
  id: delivery.id,
  event_id: `evt_${delivery.eventId}`,
  event_type: delivery.eventType,
  status: delivery.status,
  attempts: delivery.attempts,
  next_attempt_at: delivery.nextAttemptAt ?? null,
  response_status: delivery.responseStatus ?? null,
  last_error: delivery.lastError ?? null,
  delivered_at: delivery.deliveredAt ?? null,
  created_at: delivery.createdAt,
})
