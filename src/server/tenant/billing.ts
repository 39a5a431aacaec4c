import { z } from 'zod'
import { INVOICE_STATUSES, toInvoiceObject } from '../../core/billing/invoice.js'
import { findInvoice, listInvoices } from '../../core/billing/invoice-store.js'
import { toPlanObject } from '../../core/billing/plan.js'
import { listPlans } from '../../core/billing/plan-store.js'
import { SUBSCRIPTION_STATUSES } from '../../core/billing/subscription-store.js'
import { AppError } from '../../core/errors.js'
import { DEFAULT_PAGE, pageInput, placeOfCursor, toPage } from '../../core/page.js'
import { parse } from '../../core/parse.js'
import { ChangePlanInput, changePlan } from '../../core/subscriptions/change-plan.js'
import {
  etagOfSubscription,
  getSubscription,
  type SubscriptionWithPlan,
} from '../../core/subscriptions/describe-subscription.js'
import { entitlementValue } from '../integration/schemas.js'
import { EXAMPLE_ID, id, pageData, pageOf, preconditionsOf, time } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const planObject = z.strictObject({
  code: z.string(),
  name: z.string(),
  price_cents: z.number().nullable().describe('For a month; null: agreed on by hand'),
  currency: z.string(),
  entitlements: z.array(
    z.strictObject({
      code: z.string(),
      type: z.enum(['boolean', 'metered', 'text']),
      value: entitlementValue.nullable().describe('Null: unlimited'),
      overage_price_cents: z.number().nullable(),
    }),
  ),
})

const subscriptionObject = z.strictObject({
  id,
  status: z.enum(SUBSCRIPTION_STATUSES),
  plan: planObject,
  current_period_start: time,
  current_period_end: time,
  trial_ends_at: time.nullable(),
  created_at: time,
})

const toSubscriptionObject = ({ subscription, plan }: SubscriptionWithPlan) => ({
  id: subscription.id,
  status: subscription.status,
  plan: toPlanObject(plan),
  current_period_start: subscription.periodStart,
  current_period_end: subscription.periodEnd,
  trial_ends_at: subscription.trialEndsAt ?? null,
  created_at: subscription.createdAt,
})

const invoiceObject = z.strictObject({
  id,
  number: z.string(),
  status: z.enum(INVOICE_STATUSES),
  period_start: time,
  period_end: time,
  currency: z.string(),
  total_cents: z.number(),
  issued_at: time,
  due_at: time.nullable(),
  paid_at: time.nullable(),
  lines: z.array(
    z.strictObject({
      description: z.string(),
      code: z.string().nullable(),
      quantity: z.number(),
      unit_price_cents: z.number(),
      amount_cents: z.number(),
    }),
  ),
})

const ListInvoicesQuery = z.strictObject({
  ...pageInput,
  status: z
    .enum(INVOICE_STATUSES, `must be one of ${INVOICE_STATUSES.join(', ')}`)
    .describe('Only those in this state')
    .optional(),
})

const ChangePlanQuery = z.strictObject({
  dry_run: z
    .enum(['true', 'false'], 'must be one of true, false')
    .describe('Says what would change, and changes nothing')
    .optional(),
})

const nullable = entitlementValue.nullable()
const tag = 'tenant: billing'

export const billingOperations: readonly TenantOperation[] = [
  {
    id: 'showSubscription',
    method: 'get',
    path: '/subscription',
    tag,
    permission: 'billing.read',
    summary: 'Show the subscription',
    description: 'With its plan, and an ETag for If-Match.',
    isConditional: true,
    answers: {
      200: {
        description: 'The subscription',
        schema: z.strictObject({ subscription: subscriptionObject }),
      },
    },
    errors: ['SUBSCRIPTION.NOT_FOUND'],
    async handle({ c }) {
      const found = await getSubscription(c.get('acting'), c.get('scope').tenant.id)
      return {
        status: 200,
        data: { subscription: toSubscriptionObject(found) },
        etag: etagOfSubscription(found.subscription),
      }
    },
  },
  {
    id: 'changePlan',
    method: 'patch',
    path: '/subscription',
    tag,
    permission: 'billing.write',
    summary: 'Change the plan',
    description:
      'At once: entitlements follow, what was agreed on beside the plan stays. With `dry_run=true` it says what would change. Where more is in use than the new plan allows it is refused, unless that is accepted: nothing is taken away then, and no more can be added.',
    query: ChangePlanQuery,
    body: { schema: ChangePlanInput, example: { plan: 'pro' } },
    isConditional: true,
    answers: {
      200: {
        description: 'What changed, or would',
        schema: z.strictObject({
          dry_run: z.boolean(),
          subscription: subscriptionObject,
          from: z.string(),
          to: z.string(),
          entitlements: z.array(
            z.strictObject({
              code: z.string(),
              before: nullable,
              after: nullable,
              granted_before: z.boolean(),
              granted_after: z.boolean(),
            }),
          ),
          exceeded: z.array(
            z.strictObject({ code: z.string(), current: z.number(), limit: z.number() }),
          ),
        }),
      },
    },
    errors: [
      'SUBSCRIPTION.NOT_FOUND',
      'SUBSCRIPTION.LIMITS_EXCEEDED',
      'PLAN.NOT_FOUND',
      'PLAN.BY_AGREEMENT',
    ],
    async handle(call) {
      const dryRun = parse(ChangePlanQuery, call.query).dry_run === 'true'
      const change = await changePlan(call.c.get('acting'), call.c.get('scope'), call.body, {
        ...preconditionsOf(call),
        dryRun,
      })
      const { subscription, from, to, entitlements, exceeded } = change
      return {
        status: 200,
        data: {
          dry_run: dryRun,
          subscription: toSubscriptionObject({ subscription, plan: dryRun ? from : to }),
          from: from.code,
          to: to.code,
          entitlements: entitlements.map(({ code, before, after }) => ({
            code,
            before: before ?? null,
            after: after ?? null,
            granted_before: before !== undefined,
            granted_after: after !== undefined,
          })),
          exceeded,
        },
        etag: etagOfSubscription(subscription),
      }
    },
  },
  {
    id: 'listPlans',
    method: 'get',
    path: '/plans',
    tag,
    permission: 'billing.read',
    summary: 'List plans',
    description: 'What is offered. One without a price is agreed on with the operator.',
    answers: {
      200: { description: 'All of them', schema: z.strictObject({ items: z.array(planObject) }) },
    },
    errors: [],
    async handle({ c }) {
      const plans = await listPlans(c.get('acting').platform)
      return {
        status: 200,
        data: { items: plans.filter(({ isOffered }) => isOffered).map(toPlanObject) },
      }
    },
  },
  {
    id: 'listInvoices',
    method: 'get',
    path: '/invoices',
    tag,
    permission: 'billing.read',
    summary: 'List invoices',
    description: 'Newest first, with their lines.',
    query: ListInvoicesQuery,
    answers: { 200: { description: 'A page of invoices', schema: pageOf(invoiceObject) } },
    errors: [],
    async handle({ c, query }) {
      const { limit = DEFAULT_PAGE, cursor, status } = parse(ListInvoicesQuery, query)
      const [beforeId] = placeOfCursor(cursor, 'invoices', ['id']) ?? []
      const found = await listInvoices(c.get('acting').platform, {
        tenantId: c.get('scope').tenant.id,
        status,
        beforeId: beforeId ?? undefined,
        limit: limit + 1,
      })
      const page = toPage(found, limit, 'invoices', (invoice) => [invoice.id])
      return { status: 200, data: pageData(page, toInvoiceObject) }
    },
  },
  {
    id: 'showInvoice',
    method: 'get',
    path: '/invoices/{invoiceId}',
    tag,
    permission: 'billing.read',
    summary: 'Show an invoice',
    description: 'By its id or its number.',
    parameter: {
      name: 'invoiceId',
      description: 'The invoice’s id, or its number',
      example: EXAMPLE_ID,
    },
    answers: {
      200: { description: 'The invoice', schema: z.strictObject({ invoice: invoiceObject }) },
    },
    errors: ['INVOICE.NOT_FOUND'],
    async handle({ c, id: name }) {
      const { platform } = c.get('acting')
      const invoice = await findInvoice(platform, name, c.get('scope').tenant.id)
      if (!invoice) throw new AppError('INVOICE.NOT_FOUND', name)
      return { status: 200, data: { invoice: toInvoiceObject(invoice) } }
    },
  },
]
