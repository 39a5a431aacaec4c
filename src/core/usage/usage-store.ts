import type { TenantDb } from '../db/connect.js'
import { affectedBy, type Bindable, type Executor, rowsOf } from '../db/statements.js'
import { fromJsonColumn } from '../parse.js'

/** How much of something was used, or exists, in a period. */
export type UsageTotal = {
  readonly id: string
  readonly code: string
  /** A license's id, or "tenant". */
  readonly subject: string
  readonly value: number
  /** Undefined is unlimited, or not known. */
  readonly limit: number | undefined
  /** Undefined for what exists now, whatever the month. */
  readonly periodStart: Date | undefined
  readonly periodEnd: Date | undefined
}

type TotalRow = {
  id: string
  code: string
  subject: string
  value: number | string
  limit_value?: number | string | null
  period_start: Date
  period_end: Date | null
}

const toTotal = (row: TotalRow): UsageTotal => ({
  id: row.id,
  code: row.code,
  subject: row.subject,
  value: Number(row.value),
  limit: row.limit_value == null ? undefined : Number(row.limit_value),
  periodStart: row.period_end === null ? undefined : row.period_start,
  periodEnd: row.period_end ?? undefined,
})

type Conditions = [string, Bindable][]

const whereOf = (conditions: Conditions): string =>
  conditions.map(([condition]) => condition).join(' and ') || 'true'

export type TotalFilter = {
  readonly code?: string | undefined
  readonly subject?: string | undefined
  readonly month?: Date | undefined
  readonly limit: number
}

function totalConditions({ code, subject, month }: TotalFilter): Conditions {
  const conditions: Conditions = []
  if (code !== undefined) conditions.push(['code = ?', code])
  if (subject !== undefined) conditions.push(['subject = ?', subject])
  if (month !== undefined) conditions.push(['period_start = ?', month])
  return conditions
}

/** In the order of their making. Requests are counted elsewhere: see `validonx ratelimit`. */
export async function listCounters(
  db: Executor<TenantDb>,
  filter: TotalFilter & { readonly afterId?: string | undefined },
): Promise<UsageTotal[]> {
  const conditions = totalConditions(filter)
  if (filter.afterId !== undefined) conditions.push(['id > ?', filter.afterId])
  const rows = await rowsOf<TotalRow>(
    db,
    `select id, code, subject, value, period_start, period_end from usage_counters
      where code <> 'api_calls.monthly' and ${whereOf(conditions)} order by id limit ?`,
    [...conditions.map(([, value]) => value), filter.limit],
  )
  return rows.map(toTotal)
}

/** Newest first. */
export async function listSnapshots(
  db: Executor<TenantDb>,
  filter: TotalFilter & { readonly beforeId?: string | undefined },
): Promise<UsageTotal[]> {
  const conditions = totalConditions(filter)
  if (filter.beforeId !== undefined) conditions.push(['id < ?', filter.beforeId])
  const rows = await rowsOf<TotalRow>(
    db,
    `select id, code, subject, value, limit_value, period_start, period_end from usage_snapshots
      where ${whereOf(conditions)} order by id desc limit ?`,
    [...conditions.map(([, value]) => value), filter.limit],
  )
  return rows.map(toTotal)
}

/** A report of usage with all that is kept of it. */
export type RecordedUsage = {
  readonly id: string
  readonly licenseId: string
  readonly code: string
  readonly quantity: number
  readonly metadata: Readonly<Record<string, unknown>>
  readonly recordedAt: Date
}

type EventRow = {
  id: string
  license_id: string
  code: string
  quantity: number | string
  metadata: unknown
  recorded_at: Date
}

/** Newest first. */
export async function listUsageEvents(
  db: Executor<TenantDb>,
  filter: {
    readonly code?: string | undefined
    readonly licenseId?: string | undefined
    readonly from?: Date | undefined
    readonly to?: Date | undefined
    readonly beforeId?: string | undefined
    readonly limit: number
  },
): Promise<RecordedUsage[]> {
  const conditions: Conditions = []
  if (filter.code !== undefined) conditions.push(['code = ?', filter.code])
  if (filter.licenseId !== undefined) conditions.push(['license_id = ?', filter.licenseId])
  if (filter.from !== undefined) conditions.push(['recorded_at >= ?', filter.from])
  if (filter.to !== undefined) conditions.push(['recorded_at < ?', filter.to])
  if (filter.beforeId !== undefined) conditions.push(['id < ?', filter.beforeId])
  const rows = await rowsOf<EventRow>(
    db,
    `select id, license_id, code, quantity, metadata, recorded_at from usage_events
      where ${whereOf(conditions)} order by id desc limit ?`,
    [...conditions.map(([, value]) => value), filter.limit],
  )
  return rows.map((row) => ({
    id: row.id,
    licenseId: row.license_id,
    code: row.code,
    quantity: Number(row.quantity),
    metadata: fromJsonColumn<Record<string, unknown>>(row.metadata),
    recordedAt: row.recorded_at,
  }))
}

/** What the month's counters say and, where wanted, those of what exists whatever the month; by id. */
export async function listPeriodTotals(
  db: Executor<TenantDb>,
  {
    month,
    withStanding,
    afterId,
    limit,
  }: {
    readonly month: Date
    readonly withStanding: boolean
    readonly afterId: string
    readonly limit: number
  },
): Promise<UsageTotal[]> {
  const rows = await rowsOf<TotalRow & { entitlements: unknown }>(
    db,
    `select counters.id, counters.code, counters.subject, counters.value, counters.period_start, counters.period_end, licenses.entitlements
      from usage_counters counters left join licenses on licenses.id = counters.subject
      where counters.code <> 'api_calls.monthly' and counters.id > ?
        and (counters.period_start = ?${withStanding ? ' or counters.period_end is null' : ''}) order by counters.id limit ?`,
    [afterId, month, limit],
  )
  return rows.map((row) => {
    const granted = row.entitlements
      ? fromJsonColumn<Readonly<Record<string, unknown>>>(row.entitlements)
      : {}
    const own = Object.hasOwn(granted, row.code) ? granted[row.code] : undefined
    return { ...toTotal(row), limit: typeof own === 'number' ? own : undefined }
  })
}

/** Adds those that are missing; the unique index decides. Answers how many. */
export async function insertMissingSnapshots(
  db: Executor<TenantDb>,
  totals: readonly (UsageTotal & { readonly periodStart: Date; readonly periodEnd: Date })[],
  at: Date,
): Promise<number> {
  const places = totals.map(() => '(?, ?, ?, ?, ?, ?, ?, ?)').join(', ')
  // of a row that stands MySQL and MariaDB count nothing
  return affectedBy(
    db,
    `insert ignore into usage_snapshots (id, code, subject, period_start, period_end, value, limit_value, created_at) values ${places}`,
    totals.flatMap((total) => [
      total.id,
      total.code,
      total.subject,
      total.periodStart,
      total.periodEnd,
      total.value,
      total.limit === undefined ? null : Math.max(0, Math.floor(total.limit)),
      at,
    ]),
  )
}

/** What licenses used in a period, by code. */
export async function sumSnapshots(
  db: Executor<TenantDb>,
  periodStart: Date,
): Promise<Map<string, number>> {
  const rows = await rowsOf<{ code: string; used: number | string }>(
    db,
    "select code, sum(value) as used from usage_snapshots where period_start = ? and subject <> 'tenant' group by code order by code",
    [periodStart],
  )
  return new Map(rows.map(({ code, used }) => [code, Number(used)]))
}
