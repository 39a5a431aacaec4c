import type { Duplex } from 'node:stream'
import type { Knex } from 'knex'
import type { Connection, ConnectionOptions, SslOptions } from 'mysql2'
import type { Log } from '../log.js'
import { loadKnex, loadMysql } from './drivers.js'
import type { Login, ServerAddress } from './server-address.js'
import { type Session, setUpSession } from './session-settings.js'
import { retireIfSpent } from './spent-connection.js'

/** A type for each plane: a tenant's handle does not fit where the platform handle is asked for. */
export type PlatformDb = Knex & { readonly plane?: 'platform' }
export type TenantDb = Knex & { readonly plane?: 'tenant' }
/** The provisioner's handle: may create and drop databases and users. */
export type ProvisionerDb = Knex & { readonly plane?: 'provisioner' }

export type Reach = {
  readonly address: ServerAddress
  readonly login: Login
  readonly connectTimeoutMs: number
}

/** Options of one connection. An idle prepared-statement cache costs 510 KB a connection at the driver's default. */
export function connectionOptions(
  { address, login, connectTimeoutMs }: Reach,
  database?: string,
): ConnectionOptions {
  return {
    user: login.user,
    password: login.password,
    ...(address.socketPath === undefined
      ? { host: address.host, port: address.port }
      : { socketPath: address.socketPath }),
    ...(database === undefined ? {} : { database }),
    ...(address.tls === undefined ? {} : { ssl: address.tls as SslOptions }),
    charset: 'utf8mb4_unicode_ci',
    timezone: 'Z',
    supportBigNumbers: true,
    jsonStrings: true,
    connectTimeout: connectTimeoutMs,
    maxPreparedStatements: 64,
    disableEval: true,
  }
}

/**
 * Opens a connection and sets up its session, each within the connect timeout. The caller owns it.
 *
 * @throws TENANT.DATABASE_NOT_OWNED; what the driver throws
 */
export async function openConnection(
  reach: Reach,
  database?: string,
  session: Session = {},
): Promise<Connection> {
  const connection = loadMysql().createConnection(connectionOptions(reach, database))
  // without a listener an error between two statements would end the process
  connection.on('error', () => {})
  try {
    await new Promise<void>((done, fail) =>
      connection.connect((error) => (error ? fail(error) : done())),
    )
    await withinTime(connection, reach.connectTimeoutMs, () => setUpSession(connection, session))
    return connection
  } catch (error) {
    cutConnection(connection)
    throw withAddress(error, reach)
  }
}

/** Adds where it happened to an error in which the driver does not say so: a server without TLS. */
export function withAddress(error: unknown, { address: { host, port } }: Reach): unknown {
  const { code } = error as { code?: unknown }
  return code === 'HANDSHAKE_NO_SSL_SUPPORT'
    ? Object.assign(error as Error, { address: host, port })
    : error
}

/**
 * Ends a connection at once, whatever it is doing: what waits for its answer is told that the
 * connection was lost. The driver's own `destroy` leaves such a wait open for ever.
 */
export function cutConnection(connection: Connection): void {
  streamOf(connection).destroy()
}

/** Cuts the connection if `work` on it takes longer: `work` then fails with "connection lost". */
export async function withinTime<T>(
  connection: Connection,
  milliseconds: number,
  work: () => Promise<T>,
): Promise<T> {
  const timer = setTimeout(() => cutConnection(connection), milliseconds)
  try {
    return await work()
  } finally {
    clearTimeout(timer)
  }
}

/** The driver's types leave out the socket that it documents. */
const streamOf = (connection: Connection): Duplex =>
  (connection as unknown as { stream: Duplex }).stream

/** Knex puts each failed statement in the error's message, by default with its values. */
const NO_VALUES_IN_ERRORS = { compileSqlOnError: false } as const

/** A pool of its own on one database; `database` undefined for none. */
export function connectPool<Plane extends Knex>(
  reach: Reach,
  database: string | undefined,
  pool: { max: number; acquireTimeoutMs: number },
  log: Log,
): Plane {
  const connections = new Map<string, Connection>()
  const db = loadKnex()({
    client: 'mysql2',
    ...NO_VALUES_IN_ERRORS,
    connection: connectionOptions(reach, database) as unknown as Knex.MySql2ConnectionConfig,
    pool: {
      min: 0,
      max: pool.max,
      acquireTimeoutMillis: pool.acquireTimeoutMs,
      idleTimeoutMillis: 30_000,
      afterCreate: (connection: NamedConnection, done: (error: Error | null) => void) => {
        connections.set(connection.__knexUid, connection)
        streamOf(connection).once('close', () => connections.delete(connection.__knexUid))
        withinTime(connection, reach.connectTimeoutMs, () => setUpSession(connection, {})).then(
          () => done(null),
          (error: Error) => {
            cutConnection(connection)
            done(error)
          },
        )
      },
    },
    log: knexLog(log),
  })
  db.on('query-error', (error: unknown, query: { __knexUid: string; sql: string }) => {
    const connection = connections.get(query.__knexUid)
    if (connection) retireIfSpent(connection, error, query.sql)
  })
  return db as unknown as Plane
}

/** Knex names the connections of its pool, also in what it reports. */
type NamedConnection = Connection & { readonly __knexUid: string }

/** What Knex asks of a pool that it does not own. */
export type ConnectionSource = {
  acquire(): { promise: Promise<Connection> }
  release(connection: Connection): boolean
  destroy(): Promise<void>
  numFree(): number
  numUsed(): number
  numPendingAcquires(): number
}

/** A Knex instance that draws its connections from `source`. It holds none, so it need not be destroyed. */
export function connectTenant(source: ConnectionSource, log: Log): TenantDb {
  return loadKnex()({
    client: 'mysql2',
    ...NO_VALUES_IN_ERRORS,
    connectionPool: source,
    // saves the version probe on every instance; it would gate one statement that we never use
    version: '8.0.0',
    log: knexLog(log),
  } as unknown as Knex.Config)
}

/** Knex prints to stdout unless told otherwise, and would spoil `--json`. */
const knexLog = (log: Log): Knex.Logger => ({
  warn: (message: unknown) => log.debug('knex', { message: headline(message) }),
  error: (message: unknown) => log.debug('knex', { message: headline(message) }),
  deprecate: (method: string, alternative: string) =>
    log.debug('knex deprecation', { method, alternative }),
  debug: () => {},
})

const headline = (message: unknown): string => String(message).split('\n')[0] ?? ''
