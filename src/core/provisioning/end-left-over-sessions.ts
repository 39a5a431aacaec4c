import { setTimeout as sleep } from 'node:timers/promises'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import type { Job } from './stage.js'

const LOOK_EVERY_MS = 20
/** A session between two statements of one text is seen by neither of two looks in a row only by bad luck. */
const QUIET_LOOKS = 3
const GIVE_UP_MS = 15_000

/**
 * Makes sure that nothing which a dead process sent is still being done in the tenant's database: the
 * server goes on with a statement, and with those after it in the same text, when its client is gone.
 *
 * @throws LEASE.LOST; LEASE.HELD where a session does not end
 */
export async function endLeftOverSessions({ provisioner, tenant, lease }: Job): Promise<void> {
  // a process that slept past its lease would end those of its successor
  await lease.confirm()
  const giveUpAt = performance.now() + GIVE_UP_MS
  for (let quiet = 0; quiet < QUIET_LOOKS; ) {
    const sessions = await sessionsAt(provisioner, tenant.database)
    quiet = sessions.length === 0 ? quiet + 1 : 0
    for (const id of sessions) await kill(provisioner, id)
    if (performance.now() > giveUpAt) {
      throw new AppError('LEASE.HELD', tenant.database, 'a session of a process that died', 5)
    }
    await sleep(LOOK_EVERY_MS)
  }
}

type Session = { Id: number; User: string; db: string | null; Info: string | null }

/** Those of our own login that stand in the database or name it. */
async function sessionsAt(provisioner: Job['provisioner'], database: string): Promise<number[]> {
  // not information_schema.processlist, which MySQL gives up and MariaDB writes to a file first
  const sessions = await provisioner.rows<Session>('show full processlist')
  return sessions
    .filter(({ User }) => User === provisioner.reach.login.user)
    .filter(({ db, Info }) => db === database || Info?.includes(`\`${database}\``))
    .map(({ Id }) => Id)
}

async function kill(provisioner: Job['provisioner'], id: number): Promise<void> {
  try {
    await provisioner.run(`kill ${Number(id)}`)
  } catch (error) {
    // 1094: it has ended by itself
    if (!isFailure(error, 'other')) throw error
  }
}
