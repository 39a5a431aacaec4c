import { RecordUsageInput } from '../../core/usage/usage-event.js'
import type { UsageWriter } from '../../core/usage/usage-writer.js'
import type { IntegrationOperation } from './integration-operation.js'
import { usageAnswer } from './schemas.js'

export const recordUsageOperation = (usage: UsageWriter): IntegrationOperation => ({
  id: 'recordUsage',
  method: 'post',
  path: '/usage/record',
  tag: 'usage',
  scope: 'usage',
  summary: 'Record usage',
  description:
    'Counts the use of an entitlement. Answered after the commit. A repeat with the same idempotency key (in the body or in the header) answers with the first event and counts once. A numeric entitlement is a hard limit for each calendar month in UTC. `value` is taken for `quantity` where that is absent.',
  body: {
    schema: RecordUsageInput,
    example: { license_key: '9ZFM-ZEM4-VKWY-B3XE', metric: 'exports', quantity: 1 },
  },
  isIdempotent: true,
  answers: { 202: { description: 'Recorded', schema: usageAnswer } },
  errors: [
    'LICENSE.NOT_FOUND',
    'LICENSE.REVOKED',
    'ENTITLEMENTS.MISSING',
    'ENTITLEMENTS.LIMIT_EXCEEDED',
  ],
  async handle({ c, body, idempotencyKey }) {
    const { event, replayed } = await usage.record(c.get('scope'), body, idempotencyKey)
    return {
      status: 202,
      data: {
        recorded: true,
        usage_event: {
          id: event.id,
          entitlement_code: event.code,
          quantity: event.quantity,
          recorded_at: event.recordedAt,
        },
      },
      replayed,
    }
  },
})
