import { z } from 'zod'
import { listEntitlements } from '../entitlements/entitlement-store.js'
import { findLicenseRecord } from '../licensing/license-store.js'
import { DEFAULT_PAGE, type Page, pageInput, placeOfCursor, toPage } from '../page.js'
import { asciiSchema, instantSchema, parse } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import {
  listCounters,
  listSnapshots,
  listUsageEvents,
  type RecordedUsage,
  type UsageTotal,
} from './usage-store.js'

const code = asciiSchema(100).describe('Only this entitlement code').optional()
const license = asciiSchema(64)
  .describe('Only this license, by its id or key; "tenant" is the tenant as a whole')
  .optional()
const period = z
  .string()
  .regex(/^\d{4}-(0[1-9]|1[0-2])$/, 'must be a month such as 2026-11')
  .describe('Only this calendar month (UTC)')
  .optional()

export const ListCountersQuery = z.strictObject({ ...pageInput, code, license, period })
export const ListSnapshotsQuery = ListCountersQuery
export const ListUsageEventsQuery = z.strictObject({
  ...pageInput,
  code,
  license: asciiSchema(64).describe('Only of this license, by its id or key').optional(),
  from: instantSchema.describe('Only those recorded at or after').optional(),
  to: instantSchema.describe('Only those recorded before').optional(),
})

const NOTHING = { items: [], nextCursor: undefined } as const

/** The tenant's limits and where it stands against them, and the running totals of licenses by month. */
export async function pageCounters(scope: TenantScope, query: unknown): Promise<Page<UsageTotal>> {
  const wish = parse(ListCountersQuery, query)
  const { limit = DEFAULT_PAGE } = wish
  const subject = await subjectOf(scope, wish.license)
  if (subject === null) return NOTHING
  const [afterId] = placeOfCursor(wish.cursor, 'usage_counters', ['id']) ?? []
  const found = await listCounters(scope.db, {
    code: wish.code,
    subject,
    month: monthFrom(wish.period),
    afterId: afterId ?? undefined,
    limit: limit + 1,
  })
  const granted = new Map((await listEntitlements(scope.db)).map((each) => [each.code, each.value]))
  const page = toPage(found, limit, 'usage_counters', ({ id }) => [id])
  return {
    ...page,
    items: page.items.map((total) => ({
      ...total,
      limit: total.subject === 'tenant' ? numberOf(granted.get(total.code)) : total.limit,
    })),
  }
}

/** Totals of months that have been closed, as they were billed. */
export async function pageSnapshots(scope: TenantScope, query: unknown): Promise<Page<UsageTotal>> {
  const wish = parse(ListSnapshotsQuery, query)
  const { limit = DEFAULT_PAGE } = wish
  const subject = await subjectOf(scope, wish.license)
  if (subject === null) return NOTHING
  const [beforeId] = placeOfCursor(wish.cursor, 'usage_snapshots', ['id']) ?? []
  const found = await listSnapshots(scope.db, {
    code: wish.code,
    subject,
    month: monthFrom(wish.period),
    beforeId: beforeId ?? undefined,
    limit: limit + 1,
  })
  return toPage(found, limit, 'usage_snapshots', ({ id }) => [id])
}

/** Newest first. */
export async function pageUsageEvents(
  scope: TenantScope,
  query: unknown,
): Promise<Page<RecordedUsage>> {
  const wish = parse(ListUsageEventsQuery, query)
  const { limit = DEFAULT_PAGE } = wish
  const licenseId = await subjectOf(scope, wish.license)
  if (licenseId === null) return NOTHING
  const [beforeId] = placeOfCursor(wish.cursor, 'usage_events', ['id']) ?? []
  const found = await listUsageEvents(scope.db, {
    code: wish.code,
    licenseId,
    from: wish.from,
    to: wish.to,
    beforeId: beforeId ?? undefined,
    limit: limit + 1,
  })
  return toPage(found, limit, 'usage_events', ({ id }) => [id])
}

/** Undefined where none was named; null where the named license is not here. */
async function subjectOf(
  scope: TenantScope,
  named: string | undefined,
): Promise<string | undefined | null> {
  if (named === undefined || named === 'tenant') return named
  return (await findLicenseRecord(scope.db, named))?.id ?? null
}

const monthFrom = (text: string | undefined): Date | undefined =>
  text === undefined ? undefined : new Date(`${text}-01T00:00:00Z`)

const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' ? value : undefined

/** As the API answers it and `--json` prints it. */
export const toTotalObject = (total: UsageTotal) => ({
  code: total.code,
  license_id: total.subject === 'tenant' ? null : total.subject,
  value: total.value,
  limit: total.limit ?? null,
  period_start: total.periodStart ?? null,
  period_end: total.periodEnd ?? null,
})
