import type { Provisioner } from '../db/provisioner.js'
import { isFailure } from '../driver-failure.js'

type Session = {
  readonly Id: number
  readonly User: string
  readonly Host: string
  readonly db: string | null
  readonly Command: string
  readonly State: string | null
}

export type Blockers = {
  /** Sessions by their number, each described for a person. */
  readonly sessions: ReadonlyMap<number, string>
  /** Whether these hold a lock for certain. Some servers don't say who does; then they may hold it. */
  readonly areCertain: boolean
  /** Whether this login may see the sessions of others, which takes the PROCESS privilege. */
  readonly mayLook: boolean
}

/** A transaction that is younger than the shortest wait for a lock can't be what it waited for. */
const LEAST_AGE_SECONDS = 1

/**
 * The sessions that block a change in a database. MySQL's performance schema and MariaDB's
 * `metadata_lock_info` say who holds a lock, whatever database the session has selected. Without them
 * these are: transactions in the database; else all open transactions; else sessions that may hold
 * `lock tables`, which no table of the server shows.
 *
 * @param own sessions of this process, which are never named
 */
export async function findBlockers(
  provisioner: Provisioner,
  database: string,
  own: ReadonlySet<number>,
): Promise<Blockers> {
  const ages = await transactionAges(provisioner)
  const sessions = (await provisioner.rows<Session>('show full processlist')).filter(
    (session) => !own.has(session.Id) && mayBlock(session, database),
  )
  const result = (
    chosen: readonly Session[],
    areCertain: boolean,
    has = (_: Session) => '',
  ): Blockers => ({
    sessions: new Map(
      [...chosen]
        .sort((one, other) => (ages?.get(other.Id) ?? 0) - (ages?.get(one.Id) ?? 0))
        .map((session) => [session.Id, describe(session, ages?.get(session.Id), has(session))]),
    ),
    areCertain,
    mayLook: ages !== undefined,
  })

  const holders = await lockHolders(provisioner, database)
  const holding = sessions.filter(({ Id }) => holders?.has(Id))
  if (holding.length > 0)
    return result(
      holding,
      true,
      ({ Id }) => `, holding ${[...(holders?.get(Id) ?? [])].join(', ')}`,
    )
  const inTransaction = sessions.filter(({ Id }) => ages?.has(Id))
  const here = inTransaction.filter(({ db }) => db === database)
  if (here.length > 0) return result(here, true)
  if (holders) return result([], true)
  const old = inTransaction.filter(({ Id }) => (ages?.get(Id) ?? 0) >= LEAST_AGE_SECONDS)
  return result(old.length > 0 ? old : sessions, false)
}

/** Seconds by session; undefined if this login may not ask. */
async function transactionAges(
  provisioner: Provisioner,
): Promise<ReadonlyMap<number, number> | undefined> {
  try {
    const rows = await provisioner.rows<{ id: number; seconds: number }>(
      'select trx_mysql_thread_id as id, timestampdiff(second, trx_started, now()) as seconds from information_schema.innodb_trx',
    )
    return new Map(rows.map(({ id, seconds }) => [Number(id), Number(seconds)]))
  } catch (error) {
    if (isFailure(error, 'privilege missing')) return undefined
    throw error
  }
}

/** What each session holds that a change in the database waits for; undefined if the server doesn't say. */
async function lockHolders(
  provisioner: Provisioner,
  database: string,
): Promise<ReadonlyMap<number, ReadonlySet<string>> | undefined> {
  type Row = { id: number; object: string }
  for (const [isOn, query] of LOCK_TABLES) {
    try {
      if ((await provisioner.rows(isOn)).length === 0) continue
      const holders = new Map<number, Set<string>>()
      for (const { id, object } of await provisioner.rows<Row>(query, [database]))
        holders.set(Number(id), (holders.get(Number(id)) ?? new Set()).add(object))
      return holders
    } catch {
      // this server doesn't have it, or this login may not read it
    }
  }
  return undefined
}

/** For each kind of server: whether it keeps these records, and who holds what. */
const LOCK_TABLES = [
  [
    "select 1 from performance_schema.setup_instruments where name = 'wait/lock/metadata/sql/mdl' and enabled = 'YES'",
    `select threads.processlist_id as id,
        concat_ws(' ', lower(locks.object_type), locks.object_name) as object
      from performance_schema.metadata_locks locks
        join performance_schema.threads on threads.thread_id = locks.owner_thread_id
      where locks.lock_status = 'GRANTED' and locks.lock_type <> 'INTENTION_EXCLUSIVE' and threads.processlist_id is not null
        and (locks.object_schema = ? or locks.object_type in ('GLOBAL', 'BACKUP LOCK', 'COMMIT'))`,
  ],
  [
    "select 1 from information_schema.plugins where plugin_name = 'METADATA_LOCK_INFO' and plugin_status = 'ACTIVE'",
    `select thread_id as id, if(table_name = '', lower(lock_type), concat('table ', table_name)) as object
      from information_schema.metadata_lock_info
      where lock_mode not like '%INTENTION_EXCLUSIVE' and (table_schema = ? or table_schema = '')`,
  ],
] as const

/** Not the server's own threads, sessions that wait themselves, or logins without rights in the database. */
function mayBlock({ User, db, Command, State }: Session, database: string): boolean {
  if (/^(system user|event_scheduler|unauthenticated user)$/.test(User)) return false
  if (/^(Daemon|Binlog Dump|Slave)/.test(Command)) return false
  if (/^Waiting for .*\block\b/.test(State ?? '')) return false
  const isTenantOrRuntime = /^vx_[0-9a-z]{25}$|_rt(_[0-9a-f]{8})?$/.test(User)
  return db === database || !isTenantOrRuntime
}

const describe = ({ Id, User, Host }: Session, age: number | undefined, has: string): string =>
  `session ${Id} of ${User} from ${Host}${age === undefined ? '' : `, in a transaction for ${age} s`}${has}`

/** Those that were there at both looks: what blocks for long doesn't change. */
export function blockersAtBoth(earlier: Blockers | undefined, now: Blockers): Blockers {
  if (!earlier) return now
  const both = [...now.sessions].filter(([id]) => earlier.sessions.has(id))
  return both.length > 0 ? { ...now, sessions: new Map(both) } : now
}
