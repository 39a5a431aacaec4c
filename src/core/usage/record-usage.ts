import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2'
import type { Actor } from '../actor.js'
import { monthOf } from '../billing/plan.js'
import { inLentTransaction } from '../db/lent-transaction.js'
import { runOn } from '../db/statements.js'
import type { TenantPlace } from '../db/tenant-database-manager.js'
import { AppError } from '../errors.js'
import { EVENT_SCHEMA_VERSION } from '../events/event.js'
import { idFrom, newId } from '../ids.js'
import { entitlementOf, judge, type License } from '../licensing/license.js'
import { LICENSE_COLUMNS, type LicenseRow, toLicense } from '../licensing/license-store.js'
import type { UsageEvent } from './usage-event.js'

/** One report of usage, parsed, waiting to be written. */
export type UsageReport = {
  readonly licenseKey: string
  readonly code: string
  readonly quantity: number
  readonly metadata: Readonly<Record<string, unknown>>
  readonly idempotencyKey: string | undefined
  /** Of the report's own values: tells a repeat from another request with the same key. */
  readonly hash: Buffer
  readonly at: Date
  readonly actor: Actor
  readonly requestId: string | undefined
}

export type UsageOutcome = { readonly event: UsageEvent; readonly replayed: boolean } | AppError

/** Shares of a limit at which the tenant is told, in percent. */
const THRESHOLDS = [80, 100]

/**
 * Writes many reports of one tenant in one transaction, and answers each for itself: recorded, a
 * repeat, or refused. The counters that they touch are locked, in one order, until the commit, so
 * that limits hold exactly across processes; a unique index holds the idempotency keys.
 */
export async function recordUsage(
  lend: <T>(work: (connection: Connection) => Promise<T>) => Promise<T>,
  tenant: TenantPlace,
  reports: readonly UsageReport[],
): Promise<UsageOutcome[]> {
  return lend((connection) =>
    inLentTransaction(connection, async () => {
      const licenses = await loadLicenses(connection, reports)
      const counters = await lockCounters(connection, reports, licenses)
      const known = await loadKnown(connection, reports)
      const batch = new Batch(tenant, licenses, known, counters)
      const outcomes = reports.map((report) => batch.decide(report))
      await batch.write(connection)
      return outcomes
    }),
  )
}

type Counter = {
  readonly id: string
  readonly code: string
  readonly licenseId: string
  readonly start: Date
  value: number
  before: number
}
type KnownEvent = { readonly event: UsageEvent; readonly hash: Buffer }

const counterKey = (code: string, licenseId: string, start: Date): string =>
  `${code}/${licenseId}/${start.getTime()}`

/** The decisions on one batch, in the order of arrival, and what they come to. */
class Batch {
  readonly #tenant: TenantPlace
  readonly #licenses: ReadonlyMap<string, License>
  readonly #known: Map<string, KnownEvent>
  readonly #counters: ReadonlyMap<string, Counter>
  readonly #events: unknown[][] = []
  readonly #told: unknown[][] = []

  constructor(
    tenant: TenantPlace,
    licenses: ReadonlyMap<string, License>,
    known: Map<string, KnownEvent>,
    counters: ReadonlyMap<string, Counter>,
  ) {
    this.#tenant = tenant
    this.#licenses = licenses
    this.#known = known
    this.#counters = counters
  }

  decide(report: UsageReport): UsageOutcome {
    const license = this.#licenses.get(report.licenseKey)
    if (!license) return new AppError('LICENSE.NOT_FOUND')
    const repeated =
      report.idempotencyKey === undefined ? undefined : this.#known.get(report.idempotencyKey)
    if (repeated) {
      return repeated.hash.equals(report.hash)
        ? { event: repeated.event, replayed: true }
        : new AppError('VALIDATION.IDEMPOTENCY_MISMATCH')
    }
    return refusalOf(license, report) ?? this.#count(license, report)
  }

  #count(license: License, report: UsageReport): UsageOutcome {
    const counter = this.#counters.get(
      counterKey(report.code, license.id, monthOf(report.at).start),
    )
    if (!counter) return new AppError('SERVER.INTERNAL')
    const granted = entitlementOf(license, report.code)
    const limit = typeof granted === 'number' ? granted : undefined
    const next = counter.value + report.quantity
    if (limit !== undefined && next > limit) {
      return new AppError('ENTITLEMENTS.LIMIT_EXCEEDED', report.code, limit).with({
        code: report.code,
        current: counter.value,
        limit,
      })
    }
    if (limit !== undefined) this.#tellThresholds(license, report, counter, next, limit)
    counter.value = next
    const event: UsageEvent = {
      id: newId(),
      code: report.code,
      quantity: report.quantity,
      recordedAt: report.at,
    }
    const metadata = { ...report.metadata, license_key_id: license.id, source: 'integration_api' }
    this.#events.push([
      event.id,
      license.id,
      report.code,
      report.quantity,
      JSON.stringify(metadata),
      report.idempotencyKey ?? null,
      report.idempotencyKey === undefined ? null : report.hash,
      report.at,
    ])
    if (report.idempotencyKey !== undefined)
      this.#known.set(report.idempotencyKey, { event, hash: report.hash })
    return { event, replayed: false }
  }

  /** Each threshold is told once in a period: the event's id follows from what it tells of. */
  #tellThresholds(
    license: License,
    report: UsageReport,
    counter: Counter,
    next: number,
    limit: number,
  ): void {
    for (const percent of THRESHOLDS) {
      const mark = (limit * percent) / 100
      if (counter.value >= mark || next < mark) continue
      this.#told.push([
        idFrom(
          'usage.threshold_reached',
          this.#tenant.id,
          counterKey(report.code, license.id, counter.start),
          String(percent),
          String(limit),
        ),
        report.at,
        'usage.threshold_reached',
        'license',
        license.id,
        report.actor.type,
        report.actor.id,
        report.actor.name,
        report.actor.address ?? null,
        report.actor.userAgent?.slice(0, 256) ?? null,
        report.requestId ?? null,
        JSON.stringify({ after: { code: report.code, percent, current: next, limit } }),
        EVENT_SCHEMA_VERSION,
      ])
    }
  }

  async write(connection: Connection): Promise<void> {
    if (this.#events.length === 0) return
    await runOn<ResultSetHeader>(
      connection,
      'insert into usage_events (id, license_id, code, quantity, metadata, idempotency_key, request_hash, recorded_at) values ?',
      [this.#events],
    )
    const changed = [...this.#counters.values()].filter(({ value, before }) => value !== before)
    for (const { id, value } of changed) {
      await runOn<ResultSetHeader>(
        connection,
        'update usage_counters set value = ?, updated_at = utc_timestamp(6) where id = ?',
        [value, id],
      )
    }
    if (this.#told.length > 0) {
      await runOn<ResultSetHeader>(
        connection,
        'insert into outbox (event_id, occurred_at, action, object_type, object_id, actor_type, actor_id, actor_name, address, user_agent, request_id, changes, schema_version) values ? on duplicate key update event_id = event_id',
        [this.#told],
      )
    }
  }
}

function refusalOf(license: License, { code, at }: UsageReport): AppError | undefined {
  const verdict = judge(license, at)
  if (verdict.code === 'REVOKED') return new AppError('LICENSE.REVOKED')
  const granted = entitlementOf(license, code)
  if (!verdict.valid || granted === undefined || granted === false)
    return new AppError('ENTITLEMENTS.MISSING', code)
  return undefined
}

async function loadLicenses(
  connection: Connection,
  reports: readonly UsageReport[],
): Promise<Map<string, License>> {
  const keys = [...new Set(reports.map(({ licenseKey }) => licenseKey))]
  const rows = await runOn<RowDataPacket[]>(
    connection,
    `select ${LICENSE_COLUMNS.join(', ')} from licenses where license_key in (?)`,
    [keys],
  )
  return new Map(
    (rows as LicenseRow[] & RowDataPacket[]).map((row) => [row.license_key, toLicense(row)]),
  )
}

async function loadKnown(
  connection: Connection,
  reports: readonly UsageReport[],
): Promise<Map<string, KnownEvent>> {
  const keys = [...new Set(reports.flatMap(({ idempotencyKey }) => idempotencyKey ?? []))]
  if (keys.length === 0) return new Map()
  const rows = await runOn<RowDataPacket[]>(
    connection,
    'select id, code, quantity, recorded_at, idempotency_key, request_hash from usage_events where idempotency_key in (?)',
    [keys],
  )
  return new Map(
    rows.map((row) => [
      row.idempotency_key as string,
      {
        hash: row.request_hash as Buffer,
        event: {
          id: row.id,
          code: row.code,
          quantity: Number(row.quantity),
          recordedAt: row.recorded_at,
        } as UsageEvent,
      },
    ]),
  )
}

/** Makes the counters that are missing, and locks all of them, in the order of their keys. */
async function lockCounters(
  connection: Connection,
  reports: readonly UsageReport[],
  licenses: ReadonlyMap<string, License>,
): Promise<Map<string, Counter>> {
  const wanted = new Map<string, [code: string, licenseId: string, start: Date, end: Date]>()
  for (const { licenseKey, code, at } of reports) {
    const license = licenses.get(licenseKey)
    if (!license || entitlementOf(license, code) === undefined) continue
    const { start, end } = monthOf(at)
    wanted.set(counterKey(code, license.id, start), [code, license.id, start, end])
  }
  const places = [...wanted.entries()]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, place]) => place)
  if (places.length === 0) return new Map()
  const locked = await selectForUpdate(connection, places)
  const missing = places.filter(
    ([code, licenseId, start]) => !locked.has(counterKey(code, licenseId, start)),
  )
  if (missing.length === 0) return locked
  await runOn<ResultSetHeader>(
    connection,
    'insert into usage_counters (id, code, subject, period_start, period_end, value, created_at, updated_at) values ? on duplicate key update value = value',
    [
      missing.map(([code, licenseId, start, end]) => [
        newId(),
        code,
        licenseId,
        start,
        end,
        0,
        new Date(),
        new Date(),
      ]),
    ],
  )
  return selectForUpdate(connection, places)
}

async function selectForUpdate(
  connection: Connection,
  places: readonly (readonly [string, string, Date, Date])[],
): Promise<Map<string, Counter>> {
  const rows = await runOn<RowDataPacket[]>(
    connection,
    'select id, code, subject, period_start, value from usage_counters where (code, subject, period_start) in (?) order by code, subject, period_start for update',
    [places.map(([code, licenseId, start]) => [code, licenseId, start])],
  )
  return new Map(
    rows.map((row) => [
      counterKey(row.code, row.subject, row.period_start),
      {
        id: row.id,
        code: row.code,
        licenseId: row.subject,
        start: row.period_start,
        value: Number(row.value),
        before: Number(row.value),
      },
    ]),
  )
}
