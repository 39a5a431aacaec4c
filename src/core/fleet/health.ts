import type { SchemaChange } from './schema-snapshot.js'

/** What is looked at in each tenant. */
export const CHECKS = [
  'database',
  'login',
  'grants',
  'owner',
  'schema',
  'drift',
  'settings',
  'branding',
  'entitlements',
  'usage counters',
  'api key',
  'webhooks',
  'provisioning',
  'knex lock',
] as const
export type Check = (typeof CHECKS)[number]

/** What can be mended without risk and without a person's judgement. */
export type Remedy =
  | 'grant again'
  | 'add missing defaults'
  | 'rebuild usage'
  | 'drop scratch database'
  | 'end lease'
  | 'release knex lock'

export type Finding = {
  readonly check: Check
  readonly says: string
  /** What an operator does about it. */
  readonly next: string
  /** Where `--fix` does it. */
  readonly remedy?: Remedy
}

export type TenantHealth = {
  readonly tenantId: string
  readonly slug: string
  readonly status: string
  /** None where the tenant is well. */
  readonly findings: readonly Finding[]
  readonly lastRequestAt: Date | undefined
  /** Bytes on disk; undefined where this login may not ask. */
  readonly size: number | undefined
}

/** Tenants whose schemas differ from the template in the same way; no differences where they are alike. */
export type DriftGroup = {
  readonly differences: readonly SchemaChange[]
  readonly tenants: readonly string[]
}

/** What is wrong with the fleet as a whole. */
export type FleetFinding = {
  readonly kind:
    | 'orphan database'
    | 'orphan user'
    | 'scratch database'
    | 'stale lease'
    | 'template'
    | 'not seen'
  readonly name: string
  readonly says: string
  readonly next: string
  readonly remedy?: Remedy
}

export type FleetHealth = {
  readonly isHealthy: boolean
  readonly tenants: readonly TenantHealth[]
  readonly drift: readonly DriftGroup[]
  readonly findings: readonly FleetFinding[]
}
