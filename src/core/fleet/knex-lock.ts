import type { Knex } from 'knex'
import { maySeeOthers, type Provisioner } from '../db/provisioner.js'
import { quoteName } from '../db/sql.js'
import { rowsOf } from '../db/statements.js'
import { isFailure } from '../driver-failure.js'

export type KnexSessions = {
  /** Sessions that may be Knex's own command at work, described for a person. */
  readonly sessions: readonly string[]
  /** Whether this login may see the sessions of others. */
  readonly mayLook: boolean
}

/** Whether the lock of Knex's own command is set in the database that `db` is in. */
export async function isKnexLockSet(db: Knex): Promise<boolean> {
  try {
    const sql = 'select 1 from knex_migrations_lock where is_locked = 1 limit 1'
    return (await rowsOf(db, sql)).length > 0
  } catch (error) {
    if (isFailure(error, 'missing')) return false
    throw error
  }
}

/**
 * Knex's lock stays set for ever when its process dies. It's alive as long as a session other than the
 * tenant's own has the database selected.
 */
export async function findKnexSessions(
  provisioner: Provisioner,
  database: string,
  own: ReadonlySet<number>,
): Promise<KnexSessions> {
  type Session = { Id: number; User: string; Host: string; db: string | null }
  const mayLook = await maySeeOthers(provisioner)
  const sessions = await provisioner.rows<Session>('show full processlist')
  return {
    sessions: sessions
      .filter(
        ({ Id, User, db }) => db === database && !own.has(Id) && !/^vx_[0-9a-z]{25}$/.test(User),
      )
      .map(({ Id, User, Host }) => `session ${Id} of ${User} from ${Host}`),
    mayLook,
  }
}

export async function releaseKnexLock(provisioner: Provisioner, database: string): Promise<void> {
  await provisioner.run(
    `update ${quoteName(database)}.knex_migrations_lock set is_locked = 0 where is_locked = 1`,
  )
}
