import type { Connection, QueryResult } from 'mysql2'
import { causeOf } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { cutConnection, openConnection, type Reach, withinTime } from './connect.js'
import type { Login, ServerAddress } from './server-address.js'
import { type Session, setUpAndRead, setUpSession } from './session-settings.js'
import { runOn } from './statements.js'
import { WaitingLine } from './waiting-line.js'

/** One tenant database and the login that opens it and nothing else. */
export type Target = {
  readonly tenantId: string
  readonly slug: string
  readonly database: string
  readonly login: Login
  /** The connection is for `readOn` alone, which sets the session up with its statement. */
  readonly isForOneRead?: true
}

export type BudgetLimits = {
  /** Most connections to this server. */
  readonly connections: number
  /** Most of them that one tenant uses at once. */
  readonly perTenant: number
  /** Most pieces of work that wait at once; the next is refused. */
  readonly waiting: number
  readonly acquireTimeoutMs: number
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
}

export type Gauges = {
  /** Open connections, or ones being opened. */
  readonly bound: number
  readonly idle: number
  readonly waiting: number
  /** Since the start: connections opened, handed from one tenant to another, and work turned away. */
  readonly opened: number
  readonly rebound: number
  readonly refused: number
}

/** A connection in somebody's hands. It goes back through `giveBack`, and nowhere else. */
export type Lent = { readonly connection: Connection; readonly slot: Slot }

type Slot = {
  connection: Connection | undefined
  target: Target
  idleSince: number
  /** No longer to be used by anyone: its tenant was closed, or the socket is gone. */
  doomed: boolean
  /** Its tenant was closed while somebody used it. */
  closed: boolean
  /** When the database was last seen to carry its tenant's marker. */
  verifiedAt: number
}

/**
 * How long a connection is used before the marker is looked at again: a restore under the wrong name
 * doesn't end the connections that are open already.
 */
const VERIFIED_FOR_MS = 1_000
const NEVER = Number.NEGATIVE_INFINITY

/** How long a server may take to end the session of a connection that was cut. */
const SESSION_END_MS = 100

/**
 * For how long a tenant waits for a connection of its own to come back before it takes one from
 * another: a switch costs both servers as much as two queries, and the other wants it back.
 */
const OWN_FIRST_MS = 20

/**
 * The connections of this process to one database server, for all tenants together: never more than
 * the limit, each bound to one tenant at a time. An idle one stays bound, and is re-bound to another
 * tenant by COM_CHANGE_USER when there is none left to open: the server itself then forgets the
 * session, the rights and the database of the tenant before.
 */
export class ConnectionBudget {
  readonly #address: ServerAddress
  readonly #limits: BudgetLimits
  readonly #slots = new Set<Slot>()
  /** Idle slots, least recently used first. */
  readonly #idle = new Set<Slot>()
  readonly #idleByTenant = new Map<string, Slot[]>()
  readonly #usedByTenant = new Map<string, number>()
  readonly #line = new WaitingLine<Target, Lent>()
  readonly #reaper: NodeJS.Timeout
  #opened = 0
  #rebound = 0
  #refused = 0
  #patience: NodeJS.Timeout | undefined
  #closed = false

  constructor(address: ServerAddress, limits: BudgetLimits) {
    this.#address = address
    this.#limits = limits
    this.#reaper = setInterval(() => this.#closeStale(), Math.max(100, limits.idleTimeoutMs / 4))
    this.#reaper.unref()
  }

  get gauges(): Gauges {
    return {
      bound: this.#slots.size,
      idle: this.#idle.size,
      waiting: this.#line.length,
      opened: this.#opened,
      rebound: this.#rebound,
      refused: this.#refused,
    }
  }

  /** Tenants that hold a connection right now. */
  get boundTenants(): string[] {
    return [...new Set([...this.#slots].map((slot) => slot.target.tenantId))]
  }

  /**
   * A connection bound to the target, at once or in turn.
   *
   * @throws DATABASE.BUSY when none came free in time, or too many wait already;
   *   TENANT.DATABASE_NOT_OWNED if the database isn't the tenant's; what the driver throws when the
   *   connection cannot be opened.
   */
  take(target: Target): Promise<Lent> {
    if (this.#closed) return Promise.reject(new AppError('SERVER.SHUTTING_DOWN'))
    // whoever waits already goes first: a newcomer must not pass by
    const claimed = this.#line.isEmpty ? this.#claim(target, 0) : this.#claimWhileOthersWait(target)
    if (claimed) return claimed
    if (this.#line.length >= this.#limits.waiting) {
      this.#refused += 1
      return Promise.reject(new AppError('DATABASE.BUSY'))
    }
    const place = this.#line.join(target.tenantId, target, this.#limits.acquireTimeoutMs, () => {
      this.#refused += 1
      return new AppError('DATABASE.BUSY')
    })
    // those before it may only wait for their own tenant's share, and there may be room for this one
    this.#serveLine()
    this.#patience ??= setTimeout(() => this.#lookAgain(), OWN_FIRST_MS).unref()
    return place
  }

  /** One reading statement. A session that has to be set up first costs no round trip of its own. */
  async readOn<Result extends QueryResult>(
    { connection, slot }: Lent,
    sql: string,
    values: readonly unknown[],
  ): Promise<Result> {
    if (isVerified(slot)) return runOn<Result>(connection, sql, values)
    const at = performance.now()
    try {
      const session = sessionOf(slot.target)
      const result = await setUpAndRead<Result>(connection, session, { sql, values })
      slot.verifiedAt = at
      return result
    } catch (error) {
      slot.doomed = true
      throw error
    }
  }

  /** Takes a connection back. One that may be in an unknown state must be given back as not `clean`. */
  giveBack({ slot }: Lent, clean: boolean): void {
    this.#countUse(slot.target.tenantId, -1)
    if (!clean || slot.doomed || this.#closed) this.#drop(slot)
    else this.#rest(slot)
    this.#serveLine()
  }

  /** Closes all connections of a tenant, also those in use, and turns away those who wait for one. */
  closeTenant(tenantId: string): void {
    for (const slot of this.#slots) {
      if (slot.target.tenantId !== tenantId) continue
      slot.doomed = true
      slot.closed = true
      if (this.#idle.has(slot)) this.#drop(slot)
      else if (slot.connection) cutConnection(slot.connection)
    }
    this.#line.turnAway(tenantId, () => new AppError('DATABASE.CONNECTION_LOST'))
    this.#serveLine()
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#reaper)
    clearTimeout(this.#patience)
    this.#line.turnAwayAll(() => new AppError('SERVER.SHUTTING_DOWN'))
    for (const slot of [...this.#slots]) {
      if (this.#idle.has(slot)) {
        slot.connection?.end()
        this.#forget(slot)
      }
    }
  }

  /** The best connection for the target, marked as used before anything is awaited. */
  #claim(target: Target, waitedMs: number): Promise<Lent> | undefined {
    const used = this.#usedByTenant.get(target.tenantId) ?? 0
    if (used >= this.#limits.perTenant) return undefined
    const own = this.#idleByTenant.get(target.tenantId)?.at(-1)
    if (own?.connection && own.target.login.password === target.login.password) {
      this.#wake(own)
      this.#countUse(target.tenantId, 1)
      return target.isForOneRead || isVerified(own)
        ? Promise.resolve({ connection: own.connection, slot: own })
        : this.#prepare(own, (connection) => verify(own, connection))
    }
    if (this.#slots.size < this.#limits.connections) {
      const slot: Slot = {
        connection: undefined,
        target,
        idleSince: 0,
        doomed: false,
        closed: false,
        verifiedAt: NEVER,
      }
      this.#slots.add(slot)
      this.#countUse(target.tenantId, 1)
      return this.#open(slot)
    }
    if (used > 0 && waitedMs < OWN_FIRST_MS) return undefined
    const [leastRecent] = this.#idle
    if (!leastRecent) return undefined
    this.#wake(leastRecent)
    this.#countUse(target.tenantId, 1)
    leastRecent.target = target
    return this.#prepare(leastRecent, async (connection) => {
      await switchUser(connection, target)
      this.#rebound += 1
      leastRecent.verifiedAt = NEVER
      if (!target.isForOneRead) await verify(leastRecent, connection)
    })
  }

  /** Others wait for capacity; a tenant with an idle connection of its own takes nothing from them. */
  #claimWhileOthersWait(target: Target): Promise<Lent> | undefined {
    return this.#idleByTenant.has(target.tenantId) && !this.#line.has(target.tenantId)
      ? this.#claim(target, 0)
      : undefined
  }

  #serveLine(): void {
    this.#line.serve((target, waitedMs) => this.#claim(target, waitedMs))
  }

  /** Nothing may have come back while somebody's patience ended. */
  #lookAgain(): void {
    this.#patience = undefined
    this.#serveLine()
    if (this.#line.isEmpty || this.#closed) return
    this.#patience = setTimeout(() => this.#lookAgain(), OWN_FIRST_MS).unref()
  }

  async #open(slot: Slot): Promise<Lent> {
    const at = performance.now()
    try {
      const { login, database } = slot.target
      const connection = await openConnection(this.#reach(login), database, sessionOf(slot.target))
      this.#opened += 1
      if (slot.doomed || this.#closed) {
        cutConnection(connection)
        throw new AppError('DATABASE.CONNECTION_LOST')
      }
      slot.connection = connection
      slot.verifiedAt = at
      this.#watch(slot, connection)
      return { connection, slot }
    } catch (error) {
      this.#giveUp(slot)
      throw error
    }
  }

  /** Makes an idle connection ready for its slot's tenant. One that turns out to be dead is opened again. */
  async #prepare(slot: Slot, work: (connection: Connection) => Promise<void>): Promise<Lent> {
    const { connection } = slot
    if (!connection) return this.#open(slot)
    try {
      await withinTime(connection, this.#limits.connectTimeoutMs, () => work(connection))
    } catch (error) {
      // a failed switch may leave the session on the database of the tenant before: nobody uses it again
      cutConnection(connection)
      const closedMeanwhile = slot.closed || this.#closed
      if (closedMeanwhile || causeOf(error)?.kind !== 'connection lost') {
        this.#giveUp(slot)
        throw error
      }
      slot.connection = undefined
      slot.doomed = false
      return this.#open(slot)
    }
    if (slot.doomed) {
      this.#giveUp(slot)
      throw new AppError('DATABASE.CONNECTION_LOST')
    }
    return { connection, slot }
  }

  #giveUp(slot: Slot): void {
    this.#countUse(slot.target.tenantId, -1)
    this.#drop(slot)
    this.#serveLine()
  }

  #watch(slot: Slot, connection: Connection): void {
    const gone = () => {
      if (slot.connection !== connection) return
      slot.doomed = true
      if (!this.#idle.has(slot)) return
      this.#drop(slot)
      this.#serveLine()
    }
    connection.on('error', gone)
    connection.on('end', gone)
    streamOf(connection).once('close', gone)
  }

  #rest(slot: Slot): void {
    slot.idleSince = performance.now()
    this.#idle.add(slot)
    const own = this.#idleByTenant.get(slot.target.tenantId)
    if (own) own.push(slot)
    else this.#idleByTenant.set(slot.target.tenantId, [slot])
  }

  #wake(slot: Slot): void {
    if (!this.#idle.delete(slot)) return
    const { tenantId } = slot.target
    const own = this.#idleByTenant.get(tenantId) ?? []
    if (own.at(-1) === slot) own.pop()
    else own.splice(own.indexOf(slot), 1)
    if (own.length === 0) this.#idleByTenant.delete(tenantId)
  }

  /** Ends a connection. Its place is free once the server has had time to see that, and end the session too. */
  #drop(slot: Slot): void {
    this.#wake(slot)
    if (!slot.connection || this.#closed) this.#slots.delete(slot)
    else setTimeout(() => this.#free(slot), SESSION_END_MS).unref()
    if (slot.connection) cutConnection(slot.connection)
  }

  #free(slot: Slot): void {
    this.#slots.delete(slot)
    this.#serveLine()
  }

  #forget(slot: Slot): void {
    this.#wake(slot)
    this.#slots.delete(slot)
  }

  #countUse(tenantId: string, change: 1 | -1): void {
    const used = (this.#usedByTenant.get(tenantId) ?? 0) + change
    if (used > 0) this.#usedByTenant.set(tenantId, used)
    else this.#usedByTenant.delete(tenantId)
  }

  #closeStale(): void {
    const limit = performance.now() - this.#limits.idleTimeoutMs
    for (const slot of this.#idle) {
      if (slot.idleSince > limit) break
      this.#forget(slot)
      slot.connection?.end()
    }
  }

  #reach(login: Login): Reach {
    return { address: this.#address, login, connectTimeoutMs: this.#limits.connectTimeoutMs }
  }
}

/** COM_CHANGE_USER: the server forgets the session, the rights and the database of the one before. */
function switchUser(connection: Connection, { login, database }: Target): Promise<void> {
  return new Promise((done, fail) => {
    connection.changeUser({ user: login.user, password: login.password, database }, (error) => {
      if (error) fail(error)
      else done()
    })
  })
}

const isVerified = ({ verifiedAt }: Slot): boolean =>
  performance.now() - verifiedAt < VERIFIED_FOR_MS

const sessionOf = ({ tenantId, slug }: Target): Session => ({
  // what decides is a lock or a unique index: a snapshot from before the lock would decide on old rows
  isolation: 'READ-COMMITTED',
  owner: { id: tenantId, slug },
})

/** Sets the session up and reads the marker. The time of the query counts, not that of the response. */
async function verify(slot: Slot, connection: Connection): Promise<void> {
  const at = performance.now()
  await setUpSession(connection, sessionOf(slot.target))
  slot.verifiedAt = at
}

// the driver's types leave out the socket that it documents
const streamOf = (connection: Connection): NodeJS.EventEmitter =>
  (connection as unknown as { stream: NodeJS.EventEmitter }).stream
