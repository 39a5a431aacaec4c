import { listEntitlements } from '../entitlements/entitlement-store.js'
import { recordEvent } from '../events/outbox-store.js'
import { newId } from '../ids.js'
import type { TenantScope } from '../tenants/scope.js'
import {
  insertMissingSnapshots,
  listPeriodTotals,
  sumSnapshots,
  type UsageTotal,
} from '../usage/usage-store.js'

const AT_A_TIME = 2_000

export type Period = { readonly start: Date; readonly end: Date }

/**
 * Writes down what each license used in a period that has ended and, where the period is being closed, what
 * exists at its end. What is written down already stays as it is. Answers how many were added.
 */
export async function takeSnapshots(
  scope: TenantScope,
  { start, end }: Period,
  { isClosing = false }: { readonly isClosing?: boolean } = {},
): Promise<number> {
  const at = scope.now()
  const granted = new Map((await listEntitlements(scope.db)).map((each) => [each.code, each.value]))
  let added = 0
  let afterId = ''
  for (;;) {
    const totals = await listPeriodTotals(scope.db, {
      month: start,
      withStanding: isClosing,
      afterId,
      limit: AT_A_TIME,
    })
    const last = totals.at(-1)
    if (!last) return added
    afterId = last.id
    added += await scope.transaction(async (transaction) => {
      const count = await insertMissingSnapshots(
        transaction,
        totals.map((total) => ({
          ...total,
          id: newId(),
          limit: total.subject === 'tenant' ? limitOf(granted, total) : total.limit,
          periodStart: start,
          periodEnd: end,
        })),
        at,
      )
      if (count > 0) {
        await recordEvent(transaction, scope, {
          at,
          action: 'usage.snapshot_taken',
          objectType: 'usage_snapshot',
          objectId: start.toISOString().slice(0, 7),
          changes: { after: { totals: count } },
        })
      }
      return count
    })
  }
}

/** What all licenses together used in a period that has been written down, by code. */
export const usageOf = (scope: TenantScope, { start }: Period): Promise<Map<string, number>> =>
  sumSnapshots(scope.db, start)

function limitOf(granted: ReadonlyMap<string, unknown>, { code }: UsageTotal): number | undefined {
  const value = granted.get(code)
  return typeof value === 'number' ? value : undefined
}
