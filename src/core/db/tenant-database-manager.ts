import type { Connection, RowDataPacket } from 'mysql2'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import type { Log } from '../log.js'
import { type ConnectionSource, connectTenant, cutConnection, type TenantDb } from './connect.js'
import {
  type BudgetLimits,
  ConnectionBudget,
  type Gauges,
  type Lent,
  type Target,
} from './connection-budget.js'
import { isLoginRefused } from './database-account.js'
import type { Login, ServerAddress } from './server-address.js'

/** Where a tenant's database is, and which generation of its credentials opens it. */
export type TenantPlace = {
  readonly id: string
  readonly slug: string
  readonly database: string
  readonly serverId: string
  readonly credentialsKeyId: string
  readonly credentialsGeneration: number
}

export type ManagerOptions = {
  readonly addressOf: (serverId: string) => Promise<ServerAddress>
  readonly loginOf: (tenant: TenantPlace) => Login
  readonly limits: BudgetLimits
  /** Most Knex instances kept, at about 25 KB each. */
  readonly knexInstances: number
  /** How long one piece of work may hold a connection. */
  readonly workTimeoutMs: number
  readonly log: Log
}

type Held = {
  readonly lent: Lent
  readonly budget: ConnectionBudget
  readonly timer: NodeJS.Timeout
}

type Opened = { readonly target: Target; readonly readTarget: Target; readonly place: TenantPlace }

/** At about half a kilobyte each. */
const KNOWN_TENANTS = 10_000
/** For how long a tenant is refused without another look at its marker. */
const REFUSED_FOR_MS = 1_000
const REPORT_EVERY_MS = 60_000
const NEVER = Number.NEGATIVE_INFINITY

/**
 * The broker of all tenant databases of this process. It lends a connection for the length of a
 * callback; nobody else ever holds one. Every connection is logged in as its tenant's own database
 * user, so what a callback may read or write is decided by the database server.
 */
export class TenantDatabaseManager {
  readonly #options: ManagerOptions
  readonly #budgets = new Map<string, Promise<ConnectionBudget>>()
  readonly #ready = new Map<string, ConnectionBudget>()
  /** Tenants seen lately, with the logins that were derived for them; least recently used first. */
  readonly #opened = new Map<string, Opened>()
  /** Knex instances, likewise. */
  readonly #instances = new Map<string, TenantDb>()
  /** Tenants whose database was found to be another's: when last, and when that was logged. */
  readonly #notOwned = new Map<string, { readonly at: number; readonly reportedAt: number }>()

  constructor(options: ManagerOptions) {
    this.#options = options
  }

  /**
   * Lends a connection to `work` and takes it back when the promise settles. After an error, an abort
   * or a time-out it is destroyed: a reply that nobody read must never reach the next borrower.
   * An `AppError` is a decision of ours, made between statements, and leaves the connection clean.
   *
   * @throws DATABASE.BUSY after waiting in vain; TENANT.DATABASE_MISSING where the server refuses the
   *   tenant's login or has no such database; TENANT.DATABASE_NOT_OWNED if it isn't the tenant's; what
   *   `work` throws.
   */
  lend<T>(
    tenant: TenantPlace,
    work: (connection: Connection) => Promise<T>,
    limits: { signal?: AbortSignal; longestMs?: number } = {},
  ): Promise<T> {
    return this.#lend(tenant, (lent) => work(lent.connection), limits)
  }

  async #lend<T>(
    tenant: TenantPlace,
    work: (lent: Lent, budget: ConnectionBudget) => Promise<T>,
    {
      signal,
      longestMs = this.#options.workTimeoutMs,
      isForOneRead = false,
    }: { signal?: AbortSignal; longestMs?: number; isForOneRead?: boolean },
  ): Promise<T> {
    signal?.throwIfAborted()
    const budget = this.#ready.get(tenant.serverId) ?? (await this.#budget(tenant.serverId))
    const lent = await this.#take(budget, tenant, isForOneRead)
    if (signal?.aborted) {
      // it left while it waited: nothing was begun
      budget.giveBack(lent, true)
      throw signal.reason
    }
    let clean = false
    const cut = () => cutConnection(lent.connection)
    const timer = setTimeout(cut, longestMs)
    signal?.addEventListener('abort', cut, { once: true })
    try {
      const result = await work(lent, budget)
      clean = signal?.aborted !== true
      return result
    } catch (error) {
      this.#reportNotOwned(tenant, error)
      clean = error instanceof AppError && error.cause === undefined
      throw error
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', cut)
      budget.giveBack(lent, clean)
    }
  }

  /**
   * Rows of one reading statement. It is asked once more when the connection turns out to be dead
   * (a restarted server, a killed session): reading twice does no harm, so never pass a write.
   */
  async read<Row>(tenant: TenantPlace, sql: string, values: readonly unknown[]): Promise<Row[]> {
    const ask = () =>
      this.#lend(tenant, (lent, budget) => budget.readOn<RowDataPacket[]>(lent, sql, values), {
        isForOneRead: true,
      })
    try {
      return (await ask()) as unknown as Row[]
    } catch (error) {
      if (!isFailure(error, 'connection lost')) throw error
      return (await ask()) as unknown as Row[]
    }
  }

  /** Knex on a tenant's database. Every query and transaction borrows a connection for its own length. */
  for(tenant: TenantPlace): TenantDb {
    const { place } = this.#open(tenant)
    const db =
      this.#instances.get(tenant.id) ?? connectTenant(this.#sourceFor(place), this.#options.log)
    keepLately(this.#instances, tenant.id, db, this.#options.knexInstances)
    return db
  }

  /** Closes the tenant's connections in this process at once, also those in use. */
  close(tenantId: string): void {
    this.#opened.delete(tenantId)
    this.#instances.delete(tenantId)
    // its database may have been repaired: the next call looks again
    const refused = this.#notOwned.get(tenantId)
    if (refused) this.#notOwned.set(tenantId, { ...refused, at: NEVER })
    for (const budget of this.#ready.values()) budget.closeTenant(tenantId)
  }

  /** Tenants that hold a connection right now. */
  boundTenants(): string[] {
    return [...new Set([...this.#ready.values()].flatMap((budget) => budget.boundTenants))]
  }

  /** Gauges by database server, and how many Knex instances are kept. */
  gauges(): { readonly servers: Readonly<Record<string, Gauges>>; readonly knexInstances: number } {
    return {
      servers: Object.fromEntries(
        [...this.#ready].map(([serverId, budget]) => [serverId, budget.gauges]),
      ),
      knexInstances: this.#instances.size,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const budget of this.#budgets.values()) (await budget.catch(() => undefined))?.close()
  }

  async #take(budget: ConnectionBudget, tenant: TenantPlace, isForOneRead = false): Promise<Lent> {
    const { target, readTarget } = this.#open(tenant)
    this.#assertNotRefused(tenant)
    try {
      return await budget.take(isForOneRead ? readTarget : target)
    } catch (error) {
      if (this.#reportNotOwned(tenant, error)) throw error
      if (isLoginRefused(error) || isFailure(error, 'privilege missing', 'missing')) {
        throw new AppError('TENANT.DATABASE_MISSING', tenant.slug).because(error)
      }
      throw error
    }
  }

  /** Trying again at once would only cost other tenants their idle connections. */
  #assertNotRefused({ id, slug }: TenantPlace): void {
    const refused = this.#notOwned.size === 0 ? undefined : this.#notOwned.get(id)
    if (refused && performance.now() - refused.at < REFUSED_FOR_MS)
      throw new AppError('TENANT.DATABASE_NOT_OWNED', slug)
  }

  /** Logs it once a minute for each tenant: every request would say the same. */
  #reportNotOwned({ id, slug, database }: TenantPlace, error: unknown): boolean {
    if (!(error instanceof AppError) || error.code !== 'TENANT.DATABASE_NOT_OWNED') return false
    const now = performance.now()
    const { at = NEVER, reportedAt = NEVER } = this.#notOwned.get(id) ?? {}
    // refused without a look: that must not make the refusal last
    if (now - at < REFUSED_FOR_MS) return true
    const isNew = now - reportedAt >= REPORT_EVERY_MS
    const refused = { at: now, reportedAt: isNew ? now : reportedAt }
    keepLately(this.#notOwned, id, refused, KNOWN_TENANTS)
    if (!isNew) return true
    this.#options.log.error('a database does not carry the marker of its tenant', {
      tenant: slug,
      tenant_id: id,
      database,
      hint: 'restore the right backup',
    })
    return true
  }

  #open(tenant: TenantPlace): Opened {
    const known = this.#opened.get(tenant.id)
    const opened =
      known !== undefined && isSamePlace(known.place, tenant) ? known : this.#targetsOf(tenant)
    keepLately(this.#opened, tenant.id, opened, KNOWN_TENANTS)
    if (opened !== known) this.#instances.delete(tenant.id)
    return opened
  }

  #targetsOf(place: TenantPlace): Opened {
    const { id: tenantId, slug, database } = place
    const target = { tenantId, slug, database, login: this.#options.loginOf(place) }
    return { place, target, readTarget: { ...target, isForOneRead: true } }
  }

  async #budget(serverId: string): Promise<ConnectionBudget> {
    const known = this.#budgets.get(serverId)
    if (known) return known
    const opening = this.#options.addressOf(serverId).then((address) => {
      const budget = new ConnectionBudget(address, this.#options.limits)
      this.#ready.set(serverId, budget)
      return budget
    })
    this.#budgets.set(serverId, opening)
    opening.catch(() => this.#budgets.delete(serverId))
    return opening
  }

  #sourceFor(tenant: TenantPlace): ConnectionSource {
    const lent = new Map<Connection, Held>()
    const take = async (): Promise<Connection> => {
      const budget = await this.#budget(tenant.serverId)
      const taken = await this.#take(budget, tenant)
      const timer = setTimeout(() => cutConnection(taken.connection), this.#options.workTimeoutMs)
      lent.set(taken.connection, { lent: taken, budget, timer })
      return taken.connection
    }
    return {
      acquire: () => ({ promise: take() }),
      release: (connection) => {
        const held = lent.get(connection)
        if (!held) return false
        lent.delete(connection)
        clearTimeout(held.timer)
        held.budget.giveBack(held.lent, isSound(connection))
        return true
      },
      destroy: async () => {},
      numFree: () => 0,
      numUsed: () => lent.size,
      numPendingAcquires: () => 0,
    }
  }
}

const isSamePlace = (one: TenantPlace, other: TenantPlace): boolean =>
  one.database === other.database &&
  one.serverId === other.serverId &&
  one.credentialsGeneration === other.credentialsGeneration &&
  one.credentialsKeyId === other.credentialsKeyId

/** Knex marks a connection whose query timed out; the driver marks one that failed or is closing. */
function isSound(connection: Connection): boolean {
  // fields that knex and the driver set, and that their types leave out
  const marks = connection as unknown as Record<string, unknown>
  return !marks.__knex__disposed && !marks._fatalError && !marks._protocolError && !marks._closing
}

/** Puts an entry last, and forgets the least recently used one where there are too many. */
function keepLately<Value>(map: Map<string, Value>, key: string, value: Value, most: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= most) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}
