import { rowsOf } from '../db/statements.js'
import { inTransaction } from '../db/transaction.js'
import { insertOutbox } from '../events/outbox-store.js'
import { newId } from '../ids.js'
import type { TenantScope } from '../tenants/scope.js'

/** A counter that does not say what the events of its period come to. */
export type UsageDifference = {
  readonly code: string
  readonly licenseId: string
  readonly periodStart: Date
  readonly counted: number
  readonly recorded: number
}

type Row = {
  code: string
  license_id: string
  period_start: Date
  period_end: Date
  recorded: unknown
  counted: unknown
}

/** Both sides of the comparison: what the events come to by calendar month, and what the counters say. */
export const USAGE_DIFFERENCES_SQL = `select sums.code, sums.license_id, sums.period_start, sums.period_start + interval 1 month as period_end,
    sums.recorded, coalesce(usage_counters.value, 0) as counted
  from (select code, license_id, cast(date_format(recorded_at, '%Y-%m-01') as datetime) as period_start, sum(quantity) as recorded
      from usage_events group by code, license_id, period_start) sums
    left join usage_counters on usage_counters.code = sums.code and usage_counters.subject = sums.license_id
      and usage_counters.period_start = sums.period_start
  where coalesce(usage_counters.value, 0) <> sums.recorded
  union all
  select usage_counters.code, usage_counters.subject, usage_counters.period_start, usage_counters.period_end, 0, usage_counters.value
  from usage_counters
  where usage_counters.subject <> 'tenant' and usage_counters.value > 0 and not exists (
    select 1 from usage_events where usage_events.code = usage_counters.code and usage_events.license_id = usage_counters.subject
      and usage_events.recorded_at >= usage_counters.period_start and usage_events.recorded_at < usage_counters.period_end)`

/** Counters of licenses that disagree with their events, by calendar month in UTC. */
export async function findUsageDifferences(scope: TenantScope): Promise<UsageDifference[]> {
  return (await rowsOf<Row>(scope.db, USAGE_DIFFERENCES_SQL)).map(toDifference)
}

/** Sets the counters to what the events come to. Answers what it changed. */
export async function rebuildUsage(scope: TenantScope): Promise<UsageDifference[]> {
  return inTransaction(scope.db, async (transaction) => {
    // reports wait until the counters are right
    await rowsOf(transaction, 'select id from usage_counters for update')
    const rows = await rowsOf<Row>(transaction, USAGE_DIFFERENCES_SQL)
    const at = scope.now()
    for (const row of rows) {
      await transaction('usage_counters')
        .insert({
          id: newId(),
          code: row.code,
          subject: row.license_id,
          period_start: row.period_start,
          period_end: row.period_end,
          value: Number(row.recorded),
          created_at: at,
          updated_at: at,
        })
        .onConflict(['code', 'subject', 'period_start'])
        .merge(['value', 'updated_at'])
    }
    if (rows.length > 0) {
      await insertOutbox(transaction, {
        occurredAt: at,
        actor: scope.actor,
        action: 'usage.rebuilt',
        objectType: 'usage_counter',
        objectId: scope.tenant.id,
        changes: { after: { counters: rows.length } },
      })
    }
    return rows.map(toDifference)
  })
}

const toDifference = (row: Row): UsageDifference => ({
  code: row.code,
  licenseId: row.license_id,
  periodStart: row.period_start,
  counted: Number(row.counted),
  recorded: Number(row.recorded),
})
