import { requestHash } from '../db/idempotency.js'
import type { TenantDatabaseManager, TenantPlace } from '../db/tenant-database-manager.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { readLicenseKey } from '../licensing/license.js'
import { parse } from '../parse.js'
import { retrying } from '../retrying.js'
import type { TenantScope } from '../tenants/scope.js'
import { recordUsage, type UsageOutcome, type UsageReport } from './record-usage.js'
import { RecordUsageInput } from './usage-event.js'

/** Most reports in one transaction: a larger one would only make the first wait for the last. */
const MAX_BATCH = 500
const RETRY_FOR_MS = 15_000

type Waiting = {
  readonly report: UsageReport
  readonly settle: (outcome: UsageOutcome) => void
  readonly fail: (error: unknown) => void
}

/**
 * Takes reports of usage and writes them down, those of one tenant together: what arrives while one
 * transaction commits goes into the next. There is no timer; a report that comes alone is written at
 * once. Each is answered only after its commit.
 */
export class UsageWriter {
  readonly #databases: TenantDatabaseManager
  readonly #waiting = new Map<string, Waiting[]>()
  readonly #writing = new Set<string>()

  constructor(databases: TenantDatabaseManager) {
    this.#databases = databases
  }

  /**
   * @param idempotencyKey the header's; the body's own counts first
   * @throws LICENSE.NOT_FOUND, LICENSE.REVOKED, ENTITLEMENTS.MISSING, ENTITLEMENTS.LIMIT_EXCEEDED with
   *   `details`: current and limit; VALIDATION.IDEMPOTENCY_MISMATCH
   */
  async record(
    scope: TenantScope,
    input: unknown,
    idempotencyKey?: string,
  ): Promise<Exclude<UsageOutcome, AppError>> {
    const {
      license_key: given,
      metric,
      quantity,
      value,
      metadata = {},
      idempotency_key,
    } = parse(RecordUsageInput, input)
    const license_key = readLicenseKey(given)
    if (license_key === undefined) throw new AppError('LICENSE.NOT_FOUND')
    const amount = quantity ?? value ?? 0
    const report: UsageReport = {
      licenseKey: license_key,
      code: metric,
      quantity: amount,
      metadata,
      idempotencyKey: idempotency_key ?? idempotencyKey,
      hash: requestHash({ license_key, metric, quantity: amount, metadata }),
      at: scope.now(),
      actor: scope.actor,
      requestId: scope.requestId,
    }
    const outcome = await new Promise<UsageOutcome>((settle, fail) => {
      this.#join(scope.tenant, { report, settle, fail })
    })
    if (outcome instanceof AppError) throw outcome
    return outcome
  }

  #join(tenant: TenantPlace, waiting: Waiting): void {
    const line = this.#waiting.get(tenant.id)
    if (line) line.push(waiting)
    else this.#waiting.set(tenant.id, [waiting])
    if (!this.#writing.has(tenant.id)) void this.#write(tenant)
  }

  async #write(tenant: TenantPlace): Promise<void> {
    this.#writing.add(tenant.id)
    for (
      let line = this.#waiting.get(tenant.id);
      line && line.length > 0;
      line = this.#waiting.get(tenant.id)
    ) {
      const batch = line.splice(0, MAX_BATCH)
      if (line.length === 0) this.#waiting.delete(tenant.id)
      await this.#answer(tenant, batch)
    }
    this.#writing.delete(tenant.id)
  }

  async #answer(tenant: TenantPlace, batch: readonly Waiting[]): Promise<void> {
    try {
      const outcomes = await this.#commit(
        tenant,
        batch.map(({ report }) => report),
      )
      for (const [index, { settle }] of batch.entries())
        settle(outcomes[index] ?? new AppError('SERVER.INTERNAL'))
    } catch (error) {
      // a statement that the server refuses may be one report's fault: nothing was written, so each by itself
      if (batch.length > 1 && isFailure(error, 'other', 'refused', 'too large')) {
        for (const each of batch) await this.#answer(tenant, [each])
      } else {
        for (const { fail } of batch) fail(error)
      }
    }
  }

  /** Repeated if the server rolled it back, or another process used one of the idempotency keys first. */
  #commit(tenant: TenantPlace, reports: readonly UsageReport[]): Promise<UsageOutcome[]> {
    return retrying(
      () => recordUsage((work) => this.#databases.lend(tenant, work), tenant, reports),
      {
        isRetryable: (thrown) =>
          !(thrown instanceof AppError) &&
          isFailure(
            thrown,
            'transaction rolled back',
            'statement rolled back',
            'not ready',
            'duplicate',
          ),
        forMs: RETRY_FOR_MS,
        firstPauseMs: 10,
        longestPauseMs: 1_000,
      },
    )
  }
}
