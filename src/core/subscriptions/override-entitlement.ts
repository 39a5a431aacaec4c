import { z } from 'zod'
import type { EntitlementType, EntitlementValue } from '../billing/plan.js'
import type { Context } from '../context.js'
import {
  deleteEntitlement,
  type Entitlement,
  listEntitlements,
  putOverride,
  putPlanEntitlements,
} from '../entitlements/entitlement-store.js'
import { countedCodes, insertMissingCounters } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import { recordEvent } from '../events/outbox-store.js'
import { parse } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import { getSubscription } from './describe-subscription.js'

export const OverrideInput = z.strictObject({
  code: z
    .string('must be text')
    .regex(
      /^[a-z0-9]+([._-][a-z0-9]+)*$/,
      'must be lower-case letters and digits, in words joined by ".", "_" or "-"',
    )
    .max(100, 'must be at most 100 characters'),
  /** Null is unlimited; absent takes the agreement back, and the plan decides again. */
  value: z
    .union([
      z.boolean(),
      z
        .number()
        .int('must be a whole number')
        .min(0, 'must be at least 0')
        .max(2 ** 53 - 1),
      z.string().min(1, 'must not be empty').max(255, 'must be at most 255 characters'),
      z.null(),
    ])
    .optional(),
})

/**
 * Grants a tenant something beside its plan, for as long as it is not taken back, also across changes of the plan.
 * Answers all that the tenant is granted now.
 */
export async function overrideEntitlement(
  ctx: Context,
  scope: TenantScope,
  input: unknown,
): Promise<Entitlement[]> {
  const { code, value } = parse(OverrideInput, input)
  const { plan } = await getSubscription(ctx, scope.tenant.id)
  return scope.transaction(async (transaction) => {
    const at = scope.now()
    const before = (await listEntitlements(transaction)).find((each) => each.code === code)
    const kind = plan.entitlements.find((each) => each.code === code)?.type ?? before?.type
    if (value === undefined) {
      if (before?.source === 'override') await deleteEntitlement(transaction, code)
      await putPlanEntitlements(transaction, plan.entitlements, at)
    } else {
      const entitlement = { code, type: typeOf(value), value }
      if (kind !== undefined && entitlement.type !== kind) {
        throw new AppError('VALIDATION.FAILED').with({ value: [`must be ${KINDS[kind]}`] })
      }
      await putOverride(transaction, entitlement, at)
      await insertMissingCounters(transaction, countedCodes([entitlement]), at)
    }
    const standing = await listEntitlements(transaction)
    const after = standing.find((each) => each.code === code)
    if (before?.value !== after?.value || before?.source !== after?.source) {
      await recordEvent(transaction, scope, {
        at,
        action: after ? 'entitlement.granted' : 'entitlement.revoked',
        objectType: 'entitlement',
        objectId: code,
        changes: {
          before: { value: before?.value ?? null, source: before?.source ?? null },
          after: { value: after?.value ?? null, source: after?.source ?? null },
        },
      })
    }
    return standing
  })
}

const KINDS: Readonly<Record<EntitlementType, string>> = {
  boolean: 'true or false',
  metered: 'a whole number, or unlimited',
  text: 'text',
}

const typeOf = (value: EntitlementValue): EntitlementType =>
  typeof value === 'boolean' ? 'boolean' : typeof value === 'string' ? 'text' : 'metered'
