import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { AppError } from '../errors.js'
import { pageInput } from '../page.js'
import { webUrlSchema } from '../parse.js'

/** What an endpoint may be told of: the published list. */
export const WEBHOOK_EVENTS = [
  'license.created',
  'license.revoked',
  'activation.created',
  'activation.revoked',
  'entitlement.granted',
  'entitlement.revoked',
  'subscription.created',
  'subscription.updated',
  'subscription.cancelled',
  'usage.threshold_reached',
] as const
/** Events of the published list that nothing sends yet: no subscription can be cancelled. */
export const RESERVED_WEBHOOK_EVENTS: readonly WebhookEvent[] = ['subscription.cancelled']

export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number]

export const WEBHOOK_STATUSES = ['enabled', 'disabled'] as const
export type WebhookStatus = (typeof WEBHOOK_STATUSES)[number]

/** Where a tenant wants its events. Never with its secret. */
export type WebhookEndpoint = {
  readonly id: string
  readonly tenantId: string
  readonly url: string
  readonly description: string | undefined
  readonly status: WebhookStatus
  readonly events: readonly WebhookEvent[]
  /** While both sign: when the secret before ends. */
  readonly previousSecretExpiresAt: Date | undefined
  readonly disabledReason: string | undefined
  readonly revision: number
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** All that can be done to the state of an endpoint. */
export const WEBHOOK_MOVES = {
  enable: { from: ['disabled'], to: 'enabled', event: 'webhook_endpoint.enabled' },
  disable: { from: ['enabled'], to: 'disabled', event: 'webhook_endpoint.disabled' },
} as const satisfies Record<
  string,
  { readonly from: readonly WebhookStatus[]; readonly to: WebhookStatus; readonly event: string }
>
export type WebhookMove = keyof typeof WEBHOOK_MOVES

/** @throws WEBHOOK.INVALID_STATE */
export function assertWebhookMove(move: WebhookMove, status: WebhookStatus): void {
  const from: readonly WebhookStatus[] = WEBHOOK_MOVES[move].from
  if (!from.includes(status))
    throw new AppError('WEBHOOK.INVALID_STATE', status).with({ status, move })
}

const urlSchema = webUrlSchema(
  /^https?:\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?([/?]([A-Za-z0-9\-._~:/?@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)?$/,
  'must be an https URL, other letters percent-encoded, without user, password or fragment',
)

const eventsSchema = z
  .array(z.enum(WEBHOOK_EVENTS, `must be among ${WEBHOOK_EVENTS.join(', ')}`))
  .min(1, 'must name at least one event')
  .max(WEBHOOK_EVENTS.length, 'names one twice')
  .transform((events) => [...new Set(events)])

const descriptionSchema = z
  .string('must be text')
  .max(255, 'must be at most 255 characters')
  .refine((text) => !/\p{Cs}/u.test(text), 'must be text')

export const CreateWebhookInput = z.strictObject({
  url: urlSchema,
  events: eventsSchema.describe(
    `The events it is sent. Reserved, and not sent yet: ${RESERVED_WEBHOOK_EVENTS.join(', ')}`,
  ),
  description: descriptionSchema.optional(),
})

/** A merge patch. */
export const UpdateWebhookInput = z.strictObject({
  url: urlSchema.optional(),
  events: eventsSchema.optional(),
  description: descriptionSchema.nullable().optional(),
})

export const RotateSecretInput = z.strictObject({
  grace_seconds: z
    .number('must be a whole number')
    .int('must be a whole number')
    .min(0, 'must be at least 0')
    .max(604_800, 'must be at most a week')
    .describe('How long the old secret signs too; a day where absent')
    .default(86_400),
})

export const ListWebhooksQuery = z.strictObject(pageInput)

/** `whsec_` and 32 random bytes in base64: the form of Standard Webhooks. */
export const mintWebhookSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`

/** As the API answers it and `--json` prints it: never the secret. */
export const toWebhookObject = (endpoint: WebhookEndpoint) => ({
  id: endpoint.id,
  url: endpoint.url,
  description: endpoint.description ?? null,
  status: endpoint.status,
  events: endpoint.events,
  previous_secret_expires_at: endpoint.previousSecretExpiresAt ?? null,
  disabled_reason: endpoint.disabledReason ?? null,
  created_at: endpoint.createdAt,
  updated_at: endpoint.updatedAt,
})
