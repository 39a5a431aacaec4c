import type { Knex } from 'knex'
import type { Connection } from 'mysql2'
import {
  connectTenant,
  cutConnection,
  openConnection,
  type Reach,
  SESSION_SETUP,
} from '../db/connect.js'
import { quoteName } from '../db/sql.js'
import { runOn } from '../db/statements.js'
import type { Log } from '../log.js'

/**
 * A DDL statement that waits for a lock makes every later reader of its table wait behind it, so it
 * waits this long at the most, and is tried again later.
 */
const LOCK_WAIT_SECONDS = 1
const SETUP = `${SESSION_SETUP}, lock_wait_timeout = ${LOCK_WAIT_SECONDS}, innodb_lock_wait_timeout = ${LOCK_WAIT_SECONDS}`

/**
 * One session of the provisioner's login, for migrations: it goes from database to database. The login may
 * enter all of them, so nothing is gained by a switch of users, which costs three round trips more; what
 * `use` is dangerous for, prepared statements, no migration has here.
 */
export class MigrationSession {
  readonly #reach: Reach
  readonly #db: Knex
  #connection: Connection | undefined
  #lost = false

  constructor(reach: Reach, log: Log) {
    this.#reach = reach
    this.#db = connectTenant(
      {
        acquire: () => ({ promise: this.#current() }),
        release: () => true,
        destroy: () => Promise.resolve(),
        numFree: () => 0,
        numUsed: () => 1,
        numPendingAcquires: () => 0,
      },
      log,
    )
  }

  /** The server's number of this session; undefined while it is not open. */
  get threadId(): number | undefined {
    return this.#connection?.threadId ?? undefined
  }

  /** Knex on the database, valid until the next call. @throws what the driver throws */
  async enter(database: string): Promise<Knex> {
    const known = this.#lost ? undefined : this.#connection
    this.#connection = undefined
    if (known) {
      try {
        await runOn(known, `use ${quoteName(database)}`)
      } catch (error) {
        // the session is still in the database before
        cutConnection(known)
        throw error
      }
      this.#connection = known
    } else {
      const opened = await openConnection(this.#reach, database)
      opened.on('error', () => this.#lose(opened))
      opened.on('end', () => this.#lose(opened))
      await runOn(opened, SETUP)
      this.#connection = opened
      this.#lost = false
    }
    return this.#db
  }

  /** Ends the session at once. The next `enter` opens another. */
  cut(): void {
    if (this.#connection) cutConnection(this.#connection)
    this.#connection = undefined
  }

  #lose(connection: Connection): void {
    if (this.#connection === connection) this.#lost = true
  }

  async #current(): Promise<Connection> {
    if (!this.#connection) throw new Error('this session is in no database')
    return this.#connection
  }
}
