import type { Direction } from './recorded-sql.js'

export const ROLLOUT_STATUSES = ['running', 'done', 'failed', 'stopped', 'interrupted'] as const
/**
 * `done`: every tenant is at the target. `failed`: some failed. `stopped`: the budget of failures was
 * spent, or the canary failed. `interrupted`: told to stop, or its process died.
 */
export type RolloutStatus = (typeof ROLLOUT_STATUSES)[number]

/**
 * `pending`: not begun. `running`: begun, and where its process died, perhaps half done. `left`: another
 * rollout has taken it over.
 */
export type RolloutTenantStatus = 'pending' | 'running' | 'done' | 'failed' | 'left'

/** How a rollout goes about it. */
export type RolloutTerms = {
  /** Tenants that go first, alone: a failure among them ends the rollout. */
  readonly canary: number
  readonly batchSize: number
  /** Tenants at once on each database server. */
  readonly concurrency: number
  /** Failed tenants after which no further batch is begun. */
  readonly maxFailures: number
}

export const DEFAULT_TERMS: RolloutTerms = {
  canary: 1,
  batchSize: 100,
  concurrency: 4,
  maxFailures: 10,
}

export type Rollout = RolloutTerms & {
  readonly id: string
  readonly direction: Direction
  /** The newest migration that tenants have afterwards; undefined if the rollout undoes another one. */
  readonly target: string | undefined
  /** The rollout that this one undoes. */
  readonly undoes: string | undefined
  readonly status: RolloutStatus
  readonly tenants: number
  /** Whether `applied` of its tenants holds every attempt. Earlier versions recorded the last one only. */
  readonly recordsApplied: boolean
  readonly startedBy: string
  readonly startedAt: Date
  readonly finishedAt: Date | undefined
}

export type RolloutTenant = {
  readonly tenantId: string
  readonly slug: string
  readonly batch: number
  readonly status: RolloutTenantStatus
  /** Whether a statement of a failed attempt may be done without its row in the tenant's ledger. */
  readonly cutOff: boolean
  readonly attempts: number
  /** Migrations in the order in which they are to be done, or taken back. */
  readonly planned: readonly string[]
  /** Those of them that this rollout did, in all its attempts. */
  readonly applied: readonly string[]
  readonly startedAt: Date | undefined
  readonly finishedAt: Date | undefined
  readonly errorCode: string | undefined
  readonly error: string | undefined
}

/**
 * Whether a process or a server died while it worked on the tenant, so that more may have been done
 * than `applied` says.
 */
export const isCutOff = ({ status, cutOff }: Pick<RolloutTenant, 'status' | 'cutOff'>): boolean =>
  status === 'running' || (status === 'failed' && cutOff)

/** What a rollout did in a tenant. If it was cut off there, the ledger tells what it does not record. */
export function doneIn(
  tenant: Pick<RolloutTenant, 'status' | 'cutOff' | 'planned' | 'applied'>,
  direction: Direction,
  ledger: readonly string[] | undefined,
): readonly string[] {
  if (!ledger || !isCutOff(tenant)) return tenant.applied
  const has = new Set(ledger)
  const done = new Set(tenant.applied)
  return [
    ...tenant.applied,
    ...tenant.planned.filter((name) => !done.has(name) && has.has(name) === (direction === 'up')),
  ]
}

/** Enough of a rollout's id to name it. */
export const shortId = (id: string): string => id.slice(-12)
