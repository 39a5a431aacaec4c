import type { Connection } from 'mysql2'
import type { Actor } from '../actor.js'
import type { Clock } from '../clock.js'
import type { Context } from '../context.js'
import type { TenantDb } from '../db/connect.js'
import { inLentTransaction, inSnapshot } from '../db/lent-transaction.js'
import type { TenantDatabaseManager, TenantPlace } from '../db/tenant-database-manager.js'
import { startingOver } from '../db/transaction.js'
import { AppError } from '../errors.js'
import type { Tenant } from './tenant.js'
import { getTenant } from './tenant-store.js'

/**
 * One tenant, opened: what every verb inside a tenant receives. It holds no handle to any other
 * tenant, and there is no ambient "current tenant".
 */
export class TenantScope {
  readonly tenant: TenantPlace
  readonly actor: Actor
  readonly now: Clock
  readonly requestId: string | undefined
  readonly #databases: TenantDatabaseManager

  constructor(
    databases: TenantDatabaseManager,
    tenant: TenantPlace,
    actor: Actor,
    now: Clock,
    requestId?: string,
  ) {
    this.#databases = databases
    this.tenant = tenant
    this.actor = actor
    this.now = now
    this.requestId = requestId
  }

  get db(): TenantDb {
    return this.#databases.for(this.tenant)
  }

  /**
   * A transaction on a lent connection, without the query builder's cost: for hot paths. Started over
   * when the server rolled it back.
   */
  transaction<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return startingOver(() =>
      this.#databases.lend(this.tenant, (connection) =>
        inLentTransaction(connection, () => work(connection)),
      ),
    )
  }

  /** Lends a connection for statements that stand each for itself. */
  lend<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#databases.lend(this.tenant, work)
  }

  /** Lends a connection that sees the database as it is now, whatever is written meanwhile. Reads only. */
  snapshot<T>(longestMs: number, work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#databases.lend(
      this.tenant,
      (connection) => inSnapshot(connection, () => work(connection)),
      { longestMs },
    )
  }

  /** Rows of one reading statement, without the query builder's cost: for hot paths. Never a write. */
  read<Row>(sql: string, values: readonly unknown[]): Promise<Row[]> {
    return this.#databases.read<Row>(this.tenant, sql, values)
  }
}

/** @throws TENANT.NOT_FOUND, TENANT.STATUS.SUSPENDED, TENANT.INVALID_STATE */
export async function enterTenant(ctx: Context, slug: string): Promise<TenantScope> {
  return openTenant(ctx, await getTenant(ctx.platform, slug))
}

/** @throws TENANT.STATUS.SUSPENDED, TENANT.INVALID_STATE */
export function openTenant(ctx: Context, tenant: Tenant): TenantScope {
  assertActive(tenant)
  ctx.touched.set(tenant.id, placeOf(tenant))
  return new TenantScope(ctx.tenantDatabases, placeOf(tenant), ctx.actor, ctx.now, ctx.requestId)
}

export function assertActive({ slug, status }: Pick<Tenant, 'slug' | 'status'>): void {
  if (status === 'active') return
  if (status === 'suspended') throw new AppError('TENANT.STATUS.SUSPENDED', slug)
  throw new AppError('TENANT.INVALID_STATE', slug, status)
}

export const placeOf = (tenant: Tenant): TenantPlace => ({
  id: tenant.id,
  slug: tenant.slug,
  database: tenant.database,
  serverId: tenant.serverId,
  credentialsKeyId: tenant.credentialsKeyId,
  credentialsGeneration: tenant.credentialsGeneration,
})
