import type { PlatformDb } from '../db/connect.js'
import { affectedBy, rowsOf } from '../db/statements.js'

/** Something that a serving process noticed about its surroundings. */
export type ServerNotice = {
  readonly detail: string
  readonly firstSeenAt: Date
  readonly lastSeenAt: Date
}

/** Requests carry the address of their client in a header that isn't read. */
export const UNREAD_CLIENT_ADDRESS = 'unread_client_address'

export async function putServerNotice(
  db: PlatformDb,
  name: string,
  detail: string,
  at: Date,
): Promise<void> {
  await affectedBy(
    db,
    `insert into server_notices (name, detail, first_seen_at, last_seen_at) values (?, ?, ?, ?)
     on duplicate key update detail = ?, last_seen_at = ?`,
    [name, detail, at, at, detail, at],
  )
}

export async function deleteServerNotice(db: PlatformDb, name: string): Promise<void> {
  await affectedBy(db, 'delete from server_notices where name = ?', [name])
}

export async function findServerNotice(
  db: PlatformDb,
  name: string,
): Promise<ServerNotice | undefined> {
  const [row] = await rowsOf<{ detail: string; first_seen_at: Date; last_seen_at: Date }>(
    db,
    'select detail, first_seen_at, last_seen_at from server_notices where name = ?',
    [name],
  )
  return row && { detail: row.detail, firstSeenAt: row.first_seen_at, lastSeenAt: row.last_seen_at }
}
