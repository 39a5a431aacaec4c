import { setTimeout as sleep } from 'node:timers/promises'
import type { Provisioner } from '../db/provisioner.js'
import { causeOf } from '../driver-failure.js'
import { AppError } from '../errors.js'

const LOOK_EVERY_MS = 20
/** A session between two statements of one text is seen by neither of two looks in a row only by bad luck. */
const QUIET_LOOKS = 3
const GIVE_UP_MS = 15_000
const NO_SUCH_SESSION = 1094

/**
 * Makes sure that nothing which a dead process sent is still being done in these databases: the server
 * goes on with a statement, and with those after it in the same text, when its client is gone.
 *
 * @param alsoNamed whether a session that stands elsewhere counts, where its statement names a database:
 *   not where the living may be asking it something
 * @throws LEASE.HELD where a session does not end
 */
export async function endSessionsIn(
  provisioner: Provisioner,
  databases: ReadonlySet<string>,
  { alsoNamed = true }: { readonly alsoNamed?: boolean } = {},
): Promise<void> {
  const giveUpAt = performance.now() + GIVE_UP_MS
  for (let quiet = 0; quiet < QUIET_LOOKS; ) {
    const sessions = await sessionsIn(provisioner, databases, alsoNamed)
    quiet = sessions.length === 0 ? quiet + 1 : 0
    for (const { id } of sessions) await endSession(provisioner, id)
    if (performance.now() > giveUpAt) {
      const [database] = sessions.map(({ database }) => database)
      throw new AppError('LEASE.HELD', database ?? '', 'a session of a process that died', 5)
    }
    await sleep(LOOK_EVERY_MS)
  }
}

/** Kills a session. Returns quietly if it has already ended. */
export async function endSession(provisioner: Provisioner, id: number): Promise<void> {
  try {
    await provisioner.run(`kill ${Number(id)}`)
  } catch (error) {
    if (causeOf(error)?.errno !== NO_SUCH_SESSION) throw error
  }
}

type Row = { Id: number; User: string; db: string | null; Info: string | null }

/** Those of our own login that stand in one of the databases, or name one in what they do. */
async function sessionsIn(
  provisioner: Provisioner,
  databases: ReadonlySet<string>,
  alsoNamed: boolean,
): Promise<{ readonly id: number; readonly database: string }[]> {
  // not information_schema.processlist, which MySQL gives up and MariaDB writes to a file first
  const sessions = await provisioner.rows<Row>('show full processlist')
  return sessions
    .filter(({ User }) => User === provisioner.reach.login.user)
    .flatMap(({ Id, db, Info }) => {
      const named = [...((alsoNamed && Info) || '').matchAll(/`((?:[^`]|``)+)`/g)].map(
        ([, name = '']) => name,
      )
      const database = [db ?? '', ...named].find((name) => databases.has(name))
      return database === undefined ? [] : [{ id: Id, database }]
    })
}
