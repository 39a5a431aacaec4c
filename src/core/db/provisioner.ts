import type { Knex } from 'knex'
import type { Pool, QueryResult, RowDataPacket } from 'mysql2'
import type { Log } from '../log.js'
import {
  connectionOptions,
  connectPool,
  type ProvisionerDb,
  type Reach,
  SESSION_SETUP,
  withAddress,
} from './connect.js'
import { loadMysql } from './drivers.js'

/**
 * The login that may create and drop databases and users, on one database server. Only `init`,
 * `tenant provision`, `tenant migrate` and their like open it; `serve` never does.
 */
export class Provisioner {
  readonly reach: Reach
  readonly #log: Log
  readonly #pool: Pool

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
      connection.on('error', () => {})
      connection.query(SESSION_SETUP, () => {})
    })
  }

  /** Runs one or more statements, separated by `;`. Names in them are quoted by the caller. */
  run(sql: string, values: readonly unknown[] = []): Promise<QueryResult> {
    return new Promise((done, fail) => {
      this.#pool.query(sql, values as unknown[], (error, result) =>
        error ? fail(withAddress(error, this.reach)) : done(result),
      )
    })
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

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((done) => this.#pool.end(() => done()))
  }
}
