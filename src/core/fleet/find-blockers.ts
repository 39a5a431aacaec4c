import type { Provisioner } from '../db/provisioner.js'

type Session = {
  Id: number
  User: string
  Host: string
  db: string | null
  Time: number
  Command: string
}

/**
 * The sessions that may hold a lock in a database, the one with the oldest transaction first, as far as
 * this login may see them: seeing those of others takes the PROCESS privilege.
 */
export async function findBlockers(
  provisioner: Provisioner,
  database: string,
  exceptThread: number | undefined,
): Promise<string[]> {
  const sessions = (await provisioner.rows<Session>('show full processlist')).filter(
    ({ db, Id }) => db === database && Id !== exceptThread,
  )
  const ages = new Map(
    (
      await provisioner
        .rows<{ id: number; seconds: number }>(
          'select trx_mysql_thread_id as id, timestampdiff(second, trx_started, now()) as seconds from information_schema.innodb_trx',
        )
        .catch(() => [])
    ).map(({ id, seconds }) => [Number(id), Number(seconds)]),
  )
  return sessions
    .filter(({ Id }) => ages.has(Id))
    .sort((one, other) => (ages.get(other.Id) ?? 0) - (ages.get(one.Id) ?? 0))
    .map(
      ({ Id, User, Host }) =>
        `session ${Id} of ${User} from ${Host}, in a transaction for ${ages.get(Id)} s`,
    )
}
