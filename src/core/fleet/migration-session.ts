import type { Knex } from 'knex'
import type { Connection } from 'mysql2'
import {
  connectTenant,
  cutConnection,
  openConnection,
  type Reach,
  withinTime,
} from '../db/connect.js'
import { type Session, setUpSession } from '../db/session-settings.js'
import { quoteName } from '../db/sql.js'
import { runOn } from '../db/statements.js'
import type { Log } from '../log.js'

/**
 * A DDL statement that waits for a lock makes every later reader of its table wait behind it, so it
 * waits this long at the most, and is tried again later.
 */
const LOCK_WAIT_SECONDS = 1

type Home = { readonly tenantId: string; readonly slug: string; readonly database: string }

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

  /**
   * Knex on a tenant's database, valid until the next call.
   *
   * @throws TENANT.DATABASE_NOT_OWNED if the database isn't the tenant's; what the driver throws
   */
  async enter({ tenantId, slug, database }: Home): Promise<Knex> {
    const session: Session = {
      isolation: 'READ-COMMITTED',
      lockWaitSeconds: LOCK_WAIT_SECONDS,
      owner: { id: tenantId, slug },
    }
    const known = this.#lost ? undefined : this.#connection
    this.#connection = undefined
    if (known) {
      try {
        await withinTime(known, this.#reach.connectTimeoutMs, async () => {
          await runOn(known, `use ${quoteName(database)}`)
          await setUpSession(known, session)
        })
      } catch (error) {
        // the session is still in the database before
        cutConnection(known)
        throw error
      }
      this.#connection = known
    } else {
      const opened = await openConnection(this.#reach, database, session)
      opened.on('error', () => this.#lose(opened))
      opened.on('end', () => this.#lose(opened))
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
