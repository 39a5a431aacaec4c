import { monthOf, type PlanEntitlement } from '../billing/plan.js'
import type { TenantDb } from '../db/connect.js'
import { affectedBy, type Executor, insertRows, rowsOf } from '../db/statements.js'
import { AppError } from '../errors.js'
import { newId } from '../ids.js'
import { fromJsonColumn } from '../parse.js'

/** The subject of counters that belong to the tenant as a whole. */
const WHOLE_TENANT = 'tenant'

/** Counters of what exists have one period that began with time itself. */
const ALWAYS = new Date(0)

/** Limits that hold for each license by itself have no counter of the tenant. */
const PER_LICENSE = new Set(['activations.max'])

const isMonthly = (code: string): boolean => code.endsWith('.monthly')

/** The codes that a tenant of these entitlements counts. */
export const countedCodes = (granted: readonly PlanEntitlement[]): string[] =>
  granted
    .filter(({ code, type }) => type === 'metered' && !PER_LICENSE.has(code))
    .map(({ code }) => code)

/** Sets up the counters that are missing, at zero. Answers their codes. */
export async function insertMissingCounters(
  db: Executor<TenantDb>,
  codes: readonly string[],
  now: Date,
): Promise<string[]> {
  const present = new Set(await listCounterCodes(db))
  const missing = codes.filter((code) => !present.has(code))
  const month = monthOf(now)
  await insertRows(
    db,
    'usage_counters',
    missing.map((code) => ({
      id: newId(),
      code,
      subject: WHOLE_TENANT,
      period_start: isMonthly(code) ? month.start : ALWAYS,
      period_end: isMonthly(code) ? month.end : null,
      value: 0,
      created_at: now,
      updated_at: now,
    })),
  )
  return missing
}

/**
 * Counts `quantity` more of what exists, if the tenant's entitlement allows it. One conditional
 * update decides, and its row lock holds until the transaction ends, so that of many at once exactly
 * as many pass as there is room for.
 *
 * @throws ENTITLEMENTS.LIMIT_EXCEEDED with `details`: current and limit
 */
export async function takeFromLimit(
  transaction: Executor<TenantDb>,
  code: string,
  quantity: number,
  now: Date,
): Promise<void> {
  const counted = await affectedBy(
    transaction,
    `update usage_counters join entitlements on entitlements.code = usage_counters.code
      set usage_counters.value = usage_counters.value + ?, usage_counters.updated_at = ?
      where usage_counters.code = ? and usage_counters.subject = ? and usage_counters.period_start = ?
        and (entitlements.value is null or usage_counters.value + ? <= cast(json_unquote(entitlements.value) as unsigned))`,
    [quantity, now, code, WHOLE_TENANT, ALWAYS, quantity],
  )
  if (counted > 0) return
  const [stands] = await rowsOf<{ value: unknown; granted: unknown }>(
    transaction,
    'select usage_counters.value, entitlements.value as granted from usage_counters left join entitlements on entitlements.code = usage_counters.code where usage_counters.code = ? and usage_counters.subject = ?',
    [code, WHOLE_TENANT],
  )
  const limit = stands?.granted == null ? 0 : fromJsonColumn<number>(stands.granted)
  const current = Number(stands?.value ?? 0)
  throw new AppError('ENTITLEMENTS.LIMIT_EXCEEDED', code, limit).with({ code, current, limit })
}

/** Deletes the counter of a code that isn't granted any more, unless something was counted. */
export const deleteUnusedCounter = (transaction: Executor<TenantDb>, code: string) =>
  affectedBy(
    transaction,
    'delete from usage_counters where code = ? and subject = ? and value = 0',
    [code, WHOLE_TENANT],
  )

export async function listCounterCodes(db: Executor<TenantDb>): Promise<string[]> {
  const rows = await rowsOf<{ code: string }>(
    db,
    'select code from usage_counters where subject = ?',
    [WHOLE_TENANT],
  )
  return rows.map(({ code }) => code)
}

/** How much exists of what the tenant counts, locked until the transaction ends. */
export async function lockTotals(db: Executor<TenantDb>): Promise<Map<string, number>> {
  const rows = await rowsOf<{ code: string; value: number | string }>(
    db,
    'select code, value from usage_counters where subject = ? and period_start = ? for update',
    [WHOLE_TENANT, ALWAYS],
  )
  return new Map(rows.map(({ code, value }) => [code, Number(value)]))
}

/** For what is counted elsewhere: the counter follows. */
export const setTotal = (db: Executor<TenantDb>, code: string, value: number, now: Date) =>
  affectedBy(
    db,
    'update usage_counters set value = ?, updated_at = ? where code = ? and subject = ? and period_start = ?',
    [value, now, code, WHOLE_TENANT, ALWAYS],
  )

/** Counts what has gone; never below zero. */
export async function giveBackToLimit(
  transaction: Executor<TenantDb>,
  code: string,
  quantity: number,
  now: Date,
): Promise<void> {
  await affectedBy(
    transaction,
    'update usage_counters set value = if(value > ?, value - ?, 0), updated_at = ? where code = ? and subject = ? and period_start = ?',
    [quantity, quantity, now, code, WHOLE_TENANT, ALWAYS],
  )
}
