import type { Connection, QueryResult, RowDataPacket } from 'mysql2'
import { AppError } from '../errors.js'
import { OWNER_TABLE } from './ownership.js'
import { runTogether, type Statement } from './pipeline.js'
import { quoteText } from './sql.js'

/** Per-session options. */
export type Session = {
  /** Repeatable read unless told otherwise. */
  readonly isolation?: 'READ-COMMITTED' | 'REPEATABLE-READ' | undefined
  /** How long a statement waits for a lock, in seconds. */
  readonly lockWaitSeconds?: number | undefined
  /** The tenant whose marker the session's database must carry. */
  readonly owner?: { readonly id: string; readonly slug: string } | undefined
}

export type Setting = {
  readonly name: string
  readonly value: string | number | bigint
  /** The only family of servers that has it; both have it if this is absent. */
  readonly only?: 'MariaDB' | 'MySQL'
  /** What goes wrong under another value. */
  readonly why: string
}

/** In the order in which the servers give them back. */
const SQL_MODE =
  'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'

const NO_LIMIT = 18_446_744_073_709_551_615n
const LOCK_WAIT_SECONDS = 10

/**
 * Every session variable on which correctness depends. An administrator may set any of them for the
 * whole server, so each of our sessions sets all of them before its first statement, and again after
 * COM_CHANGE_USER, which brings the server's own values back. None needs a privilege, except for `timestamp`
 * under MariaDB's `secure_timestamp`, which protects the clock in our place.
 *
 * Left to the administrator on purpose:
 * - What needs a privilege (`sql_log_bin`, `sql_require_primary_key`, `enforce_storage_engine`, MySQL's
 *   `innodb_strict_mode`): our statements mean the same under either value, or are refused.
 * - Limits of resources, which end in an error (`max_session_mem_used`, `tmp_disk_table_size`).
 * - What a cluster or replication prescribes (`auto_increment_increment`, `wsrep_sync_wait`, `binlog_format`).
 */
export const pinned: readonly Setting[] = [
  // first, because the server reads our statements and stores our text by these
  { name: 'character_set_client', value: 'utf8mb4', why: 'text is stored as other characters' },
  // and character_set_connection with it
  { name: 'collation_connection', value: 'utf8mb4_unicode_ci', why: 'characters turn into "?"' },
  { name: 'character_set_results', value: 'utf8mb4', why: 'text is read as other characters' },
  { name: 'sql_mode', value: SQL_MODE, why: 'values are cut, statements are read otherwise' },

  { name: 'timestamp', value: 0, why: "time doesn't advance, so nothing expires" },
  { name: 'lc_time_names', value: 'en_US', why: 'dates are spelled in another language' },
  { name: 'lc_messages', value: 'en_US', why: 'operators read refusals in another language' },

  { name: 'autocommit', value: 1, why: 'nothing is stored' },
  { name: 'completion_type', value: 'NO_CHAIN', why: 'COMMIT begins another transaction' },
  { name: 'tx_read_only', value: 0, only: 'MariaDB', why: 'every write is refused' },
  { name: 'transaction_read_only', value: 0, only: 'MySQL', why: 'every write is refused' },

  { name: 'foreign_key_checks', value: 1, why: 'rows are orphaned' },
  { name: 'unique_checks', value: 1, why: 'duplicates are stored' },
  { name: 'check_constraint_checks', value: 1, only: 'MariaDB', why: 'invalid rows are stored' },
  { name: 'sql_safe_updates', value: 0, why: 'updates are refused' },

  { name: 'sql_select_limit', value: NO_LIMIT, why: 'rows are left out of every result' },
  { name: 'sql_big_selects', value: 1, why: 'queries are refused, as max_join_size says' },
  { name: 'max_sort_length', value: 1024, why: 'ids that begin alike are in no order' },
  { name: 'group_concat_max_len', value: 1_048_576, why: 'lists of names are cut off' },
  { name: 'div_precision_increment', value: 4, why: 'quotients are rounded' },
  { name: 'sql_auto_is_null', value: 0, why: '"id is null" finds the last row inserted' },
  { name: 'query_cache_type', value: 'OFF', only: 'MariaDB', why: 'reads may see old rows' },
  { name: 'wsrep_dirty_reads', value: 0, only: 'MariaDB', why: 'a node cut off serves old rows' },

  { name: 'max_statement_time', value: 0, only: 'MariaDB', why: 'long work is cut off' },
  { name: 'max_execution_time', value: 0, only: 'MySQL', why: 'long reads are cut off' },
  { name: 'wait_timeout', value: 28_800, why: 'a connection is closed as it is used' },
  { name: 'net_read_timeout', value: 30, why: 'a connection is closed as it is used' },
  { name: 'net_write_timeout', value: 60, why: 'an export is cut off while its reader pauses' },
  { name: 'idle_transaction_timeout', value: 0, only: 'MariaDB', why: 'transactions are cut off' },
  {
    name: 'idle_write_transaction_timeout',
    value: 0,
    only: 'MariaDB',
    why: 'transactions are cut off',
  },
  {
    name: 'idle_readonly_transaction_timeout',
    value: 0,
    only: 'MariaDB',
    why: 'transactions are cut off',
  },

  { name: 'default_storage_engine', value: 'InnoDB', why: 'tables have no transactions' },
  { name: 'innodb_strict_mode', value: 1, only: 'MariaDB', why: 'tables differ from what we ask' },
  { name: 'sql_quote_show_create', value: 1, why: 'the template cannot be replayed' },
  { name: 'sql_if_exists', value: 0, only: 'MariaDB', why: 'a failed migration looks done' },
  { name: 'alter_algorithm', value: 'DEFAULT', only: 'MariaDB', why: 'migrations are refused' },
  { name: 'old_mode', value: 'UTF8_IS_UTF8MB3', only: 'MariaDB', why: 'times turn into dates' },
  { name: 'old_passwords', value: 0, only: 'MariaDB', why: 'new users cannot log in' },
]

/** All that a session sets, in order, except for its time zone, which is UTC. */
export const settingsOf = ({
  isolation = 'REPEATABLE-READ',
  lockWaitSeconds = LOCK_WAIT_SECONDS,
}: Session): readonly Setting[] => [
  ...pinned,
  { name: 'tx_isolation', value: isolation, only: 'MariaDB', why: 'reads see uncommitted rows' },
  { name: 'transaction_isolation', value: isolation, only: 'MySQL', why: 'as tx_isolation' },
  { name: 'innodb_lock_wait_timeout', value: lockWaitSeconds, why: 'work waits too long' },
  { name: 'lock_wait_timeout', value: lockWaitSeconds, why: 'a schema change waits for a day' },
]

/**
 * Reads the marker. A second row means that a dump was restored over the database. A statement of its own: a
 * subquery in SET would lock the row, and wait for the relay, which holds it while it writes to the platform.
 */
const OWNER_SQL = `select tenant_id from ${OWNER_TABLE} limit 2`

/** One statement for all variables. Each server skips the comment with what it lacks. */
export function setUpSql(session: Session, lacking: ReadonlySet<string> = new Set()): string {
  const settings = settingsOf(session).filter(({ name }) => !lacking.has(name))
  const of = (family: Setting['only']) =>
    settings.filter(({ only }) => only === family).map((setting) => `, ${assignment(setting)}`)
  return `set session time_zone = '+00:00'${of(undefined).join('')} /*M! ${of('MariaDB').join('')} */ /*!80000 ${of('MySQL').join('')} */`
}

const assignment = ({ name, value }: Setting): string =>
  `${name} = ${typeof value === 'string' ? quoteText(value) : value}`

/**
 * Sets up a session that was opened or handed to another user.
 *
 * @throws TENANT.DATABASE_NOT_OWNED if `owner` is given and the session's database carries another
 *   marker, or none; what the driver throws
 */
export async function setUpSession(connection: Connection, session: Session): Promise<void> {
  await setUp(connection, session, [])
}

/**
 * The same, and one reading statement with it, in one round trip. If setup fails, discards the read's result.
 */
export async function setUpAndRead<Result extends QueryResult>(
  connection: Connection,
  session: Session,
  read: Statement,
): Promise<Result> {
  const [answer] = await setUp(connection, session, [read])
  return answer as Result
}

async function setUp(
  connection: Connection,
  session: Session,
  reads: readonly Statement[],
): Promise<QueryResult[]> {
  const { owner } = session
  const lacking = lackingOn(connection)
  for (;;) {
    const [set, ...answers] = await Promise.allSettled(
      runTogether(connection, [
        { sql: setUpSql(session, lacking) },
        ...(owner ? [{ sql: OWNER_SQL }] : []),
        ...reads,
      ]),
    )
    if (set?.status === 'rejected') {
      const name = unsettableVariable(set.reason)
      // what a server doesn't have can't be set wrongly
      if (name === undefined || lacking.has(name)) throw set.reason
      lacking.add(name)
      continue
    }
    if (owner) assertOwned(answers.shift(), owner)
    return answers.map((answer) => {
      if (answer.status === 'rejected') throw answer.reason
      return answer.value
    })
  }
}

type ServerError = { readonly errno?: unknown; readonly sqlMessage?: unknown }

/** No marker table, or one with other columns. */
const NO_MARKER: readonly unknown[] = [1146, 1054]

function assertOwned(
  marker: PromiseSettledResult<QueryResult> | undefined,
  { id, slug }: { readonly id: string; readonly slug: string },
): void {
  if (marker?.status === 'rejected') {
    const { errno } = marker.reason as ServerError
    throw NO_MARKER.includes(errno)
      ? new AppError('TENANT.DATABASE_NOT_OWNED', slug).because(marker.reason)
      : marker.reason
  }
  const rows = (marker?.value ?? []) as RowDataPacket[]
  if (rows.length !== 1 || rows[0]?.tenant_id !== id)
    throw new AppError('TENANT.DATABASE_NOT_OWNED', slug)
}

/**
 * The variable that this server doesn't let us set, and that is right without it: one that it doesn't
 * have, or `timestamp` under MariaDB's `secure_timestamp`, which `init_connect` can't set either.
 */
function unsettableVariable(error: unknown): string | undefined {
  const { errno, sqlMessage } = error as ServerError
  if (errno === 1193) return /'(\w+)'/.exec(String(sqlMessage))?.[1]
  // only "timestamp" may need a privilege: if it wasn't the cause, the next attempt fails likewise
  const isSecured =
    errno === 1227 || (errno === 1290 && /secure.timestamp/.test(String(sqlMessage)))
  return isSecured ? 'timestamp' : undefined
}

/** For how long a server isn't asked again to set what it refused: it may be upgraded meanwhile. */
const LACKING_FOR_MS = 60_000

const lackingByServer = new Map<string, { readonly names: Set<string>; readonly until: number }>()

/** The names of variables that the connection's server doesn't let us set, as far as we know. */
function lackingOn({ config: { socketPath, host, port } }: Connection): Set<string> {
  const server = socketPath ?? `${host}:${port}`
  const known = lackingByServer.get(server)
  const now = performance.now()
  if (known && known.until > now) return known.names
  const names = new Set<string>()
  lackingByServer.set(server, { names, until: now + LACKING_FOR_MS })
  return names
}
