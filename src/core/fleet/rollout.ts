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
  /** The newest migration that tenants have afterwards, or how many they lose. */
  readonly target: string
  readonly status: RolloutStatus
  readonly tenants: number
  readonly startedBy: string
  readonly startedAt: Date
  readonly finishedAt: Date | undefined
}

export type RolloutTenant = {
  readonly tenantId: string
  readonly slug: string
  readonly batch: number
  readonly status: RolloutTenantStatus
  readonly attempts: number
  readonly planned: readonly string[]
  readonly applied: readonly string[]
  readonly startedAt: Date | undefined
  readonly finishedAt: Date | undefined
  readonly error: string | undefined
}
