import type { Knex } from 'knex'
import type { Pool, PoolConnection, QueryResult, RowDataPacket } from 'mysql2'
import { isFailure } from '../driver-failure.js'
import type { Log } from '../log.js'
import {
  connectionOptions,
  connectPool,
  cutConnection,
  type ProvisionerDb,
  type Reach,
  withAddress,
  withinTime,
} from './connect.js'
import { loadMysql } from './drivers.js'
import { setUpSession } from './session-settings.js'
import { runOn } from './statements.js'

/** Whether this login may see the sessions of others, which takes the PROCESS privilege. */
export const maySeeOthers = (provisioner: Provisioner): Promise<boolean> =>
  provisioner.rows('select 1 from information_schema.innodb_trx limit 1').then(
    () => true,
    (error: unknown) => {
      if (isFailure(error, 'privilege missing')) return false
      throw error
    },
  )

/**
 * The login that may create and drop databases and users, on one database server. Only `init`,
 * `tenant provision`, `tenant migrate` and their like open it; `serve` never does.
 */
export class Provisioner {
  readonly reach: Reach
  readonly #log: Log
  readonly #pool: Pool
  readonly #setUp = new WeakSet<PoolConnection>()
  readonly #threads = new Set<number>()

  constructor(reach: Reach, sessions: number, log: Log) {
    this.reach = reach
    this.#log = log
    this.#pool = loadMysql().createPool({
      ...connectionOptions(reach),
      connectionLimit: sessions,
      // a whole schema goes over in one round trip; nothing that a caller wrote is ever among the statements
      multipleStatements: true,
    })
    this.#pool.on('connection', (connection) => {
      const { threadId } = connection
      if (threadId) this.#threads.add(threadId)
      // without a listener an error between two statements would end the process
      connection.on('error', () => {})
    })
  }

  /** The server's numbers of the sessions that this has opened. */
  get threads(): ReadonlySet<number> {
    return this.#threads
  }

  /** Runs one or more statements, separated by `;`. Names in them are quoted by the caller. */
  async run(sql: string, values: readonly unknown[] = []): Promise<QueryResult> {
    try {
      const connection = await this.#take()
      try {
        return await runOn(connection, sql, values)
      } finally {
        connection.release()
      }
    } catch (error) {
      throw withAddress(error, this.reach)
    }
  }

  async rows<Row>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.run(sql, values)) as RowDataPacket[] as Row[]
  }

  /** Lends Knex on one database, for migrations; its one connection is closed afterwards. */
  async withDatabase<T, Db extends Knex = ProvisionerDb>(
    database: string,
    work: (db: Db) => Promise<T>,
  ): Promise<T> {
    const db = connectPool<Db>(
      this.reach,
      database,
      { max: 1, acquireTimeoutMs: 10_000 },
      this.#log,
    )
    try {
      return await work(db)
    } finally {
      await db.destroy()
    }
  }

  async #take(): Promise<PoolConnection> {
    const connection = await new Promise<PoolConnection>((done, fail) =>
      this.#pool.getConnection((error, opened) => (error ? fail(error) : done(opened))),
    )
    if (this.#setUp.has(connection)) return connection
    try {
      await withinTime(connection, this.reach.connectTimeoutMs, () => setUpSession(connection, {}))
    } catch (error) {
      cutConnection(connection)
      connection.destroy()
      throw error
    }
    this.#setUp.add(connection)
    return connection
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((done) => this.#pool.end(() => done()))
  }
}
