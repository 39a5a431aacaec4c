import { z } from 'zod'
import type { EntitlementType, EntitlementValue } from '../billing/plan.js'
import { listPlans } from '../billing/plan-store.js'
import type { Context } from '../context.js'
import {
  deleteEntitlement,
  type Entitlement,
  listEntitlements,
  putOverride,
  putPlanEntitlements,
} from '../entitlements/entitlement-store.js'
import {
  countedCodes,
  deleteUnusedCounter,
  insertMissingCounters,
} from '../entitlements/usage-counter-store.js'
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
  /** Grants a code that no plan has; without it such a code is taken for a typing error. */
  is_new: z.boolean().default(false),
})

/**
 * Grants a tenant something in addition to its plan. It survives plan changes until it is removed.
 * Returns all of the tenant's grants.
 *
 * @throws ENTITLEMENTS.UNKNOWN, VALIDATION.FAILED, SUBSCRIPTION.NOT_FOUND
 */
export async function overrideEntitlement(
  ctx: Context,
  scope: TenantScope,
  input: unknown,
): Promise<Entitlement[]> {
  const { code, value, is_new: isNew } = parse(OverrideInput, input)
  const { plan } = await getSubscription(ctx, scope.tenant.id)
  const plans = await listPlans(ctx.platform)
  const offered = plans.flatMap(({ entitlements }) => entitlements.map((each) => each.code))
  return scope.transaction(async (transaction) => {
    const at = scope.now()
    const before = (await listEntitlements(transaction)).find((each) => each.code === code)
    if (!before && !offered.includes(code) && (value === undefined || !isNew))
      throw new AppError('ENTITLEMENTS.UNKNOWN', code, similarTo(code, offered))
    const kind = plan.entitlements.find((each) => each.code === code)?.type ?? before?.type
    if (value === undefined) {
      if (before?.source === 'override') await deleteEntitlement(transaction, code)
      await putPlanEntitlements(transaction, plan.entitlements, at)
      if (!offered.includes(code)) await deleteUnusedCounter(transaction, code)
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

/** The known code that a typing error is most likely of: up to three characters apart. */
function similarTo(code: string, known: readonly string[]): string | undefined {
  const [nearest] = [...new Set(known)]
    .map((each) => ({ each, distance: distanceBetween(code, each) }))
    .sort((one, other) => one.distance - other.distance)
  return nearest && nearest.distance <= 3 ? nearest.each : undefined
}

/** Levenshtein's: how many characters to add, remove or replace. */
function distanceBetween(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [index, letter] of [...one].entries()) {
    const next = [index + 1]
    for (const [column, against] of [...other].entries()) {
      const [above = 0, diagonal = 0, left = 0] = [row[column + 1], row[column], next[column]]
      next.push(Math.min(above + 1, left + 1, diagonal + (letter === against ? 0 : 1)))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

const KINDS: Readonly<Record<EntitlementType, string>> = {
  boolean: 'true or false',
  metered: 'a whole number, or unlimited',
  text: 'text',
}

const typeOf = (value: EntitlementValue): EntitlementType =>
  typeof value === 'boolean' ? 'boolean' : typeof value === 'string' ? 'text' : 'metered'
