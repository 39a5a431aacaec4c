import type { MintedApiKey } from '../access/create-api-key.js'
import type { Plan } from '../billing/plan.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import type { Lease } from '../db/lease.js'
import type { Provisioner } from '../db/provisioner.js'
import type { Tenant } from '../tenants/tenant.js'

/** What every stage of one run receives. */
export type Job = {
  readonly ctx: Context
  readonly provisioner: Provisioner
  readonly tenant: Tenant
  readonly plan: Plan
  readonly lease: Lease
  /** Stages that an earlier run began and was cut off in: what they made may be there by half. */
  readonly cutShort: ReadonlySet<string>
  /** Stages that were written down as done when this run began. */
  readonly finished: ReadonlySet<string>
  /** The bootstrap key of this run, in memory alone until it is shown. */
  bootstrapKey: MintedApiKey | undefined
  /** Writes down that the stage at work has ended, and fails where the lease was taken over. */
  recordEnd: (transaction: PlatformDb) => Promise<void>
}

/**
 * One step between "the tenant is written down" and "the tenant is open".
 * MySQL commits each DDL statement by itself, so a stage can be cut in half: `run` must be safe to
 * repeat from any point, and what it writes it writes with its event in one transaction.
 */
export type Stage = {
  /** Stored with each tenant. To rename it is a data migration. */
  readonly name: string
  /**
   * Where its effect lies. On the platform it is one transaction, and the stage's record is part of
   * it; anywhere else the record of its start comes before the effect, and that of its end after.
   */
  readonly effect: 'none' | 'platform' | 'database server'
  /** Is the effect there? Asks the databases, not our notes. */
  check(job: Job): Promise<boolean>
  run(job: Job): Promise<void>
}
