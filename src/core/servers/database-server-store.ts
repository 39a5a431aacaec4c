import type { PlatformDb } from '../db/connect.js'
import type { Provisioner } from '../db/provisioner.js'
import { quoteName } from '../db/sql.js'
import { rowsOf } from '../db/statements.js'
import type { TlsSettings } from '../db/tls.js'
import { AppError } from '../errors.js'
import type { DatabaseServer } from './database-server.js'

type Row = {
  id: string
  name: string
  host: string | null
  port: number | null
  socket_path: string | null
  tls_level: TlsSettings['databaseTls'] | null
  tls_ca_file: string | null
  tls_cert_file: string | null
  tls_key_file: string | null
  capacity: number
  accepts_tenants: number
  version: string
  created_at: Date
}

// never provisioner_login_encrypted: the runtime login may not read it
const COLUMNS =
  'id, name, host, port, socket_path, tls_level, tls_ca_file, tls_cert_file, tls_key_file, capacity, accepts_tenants, version, created_at'

const toServer = (row: Row): DatabaseServer => ({
  id: row.id,
  name: row.name,
  address:
    row.host === null
      ? undefined
      : { host: row.host, port: row.port ?? 3306, socketPath: row.socket_path ?? undefined },
  tls: {
    databaseTls: row.tls_level ?? undefined,
    databaseCa: row.tls_ca_file ?? undefined,
    databaseCert: row.tls_cert_file ?? undefined,
    databaseKey: row.tls_key_file ?? undefined,
  },
  capacity: row.capacity,
  acceptsTenants: row.accepts_tenants === 1,
  version: row.version,
  createdAt: row.created_at,
})

export async function getServerById(db: PlatformDb, id: string): Promise<DatabaseServer> {
  const [row] = await rowsOf<Row>(db, `select ${COLUMNS} from database_servers where id = ?`, [id])
  if (!row) throw new AppError('SERVER.NOT_FOUND', id)
  return toServer(row)
}

export async function getServerByName(db: PlatformDb, name: string): Promise<DatabaseServer> {
  const [row] = await rowsOf<Row>(db, `select ${COLUMNS} from database_servers where name = ?`, [
    name,
  ])
  if (!row) throw new AppError('SERVER.NOT_FOUND', name)
  return toServer(row)
}

export type ServerLoad = { readonly server: DatabaseServer; readonly tenants: number }

/** All servers with how many tenants each holds, by name. */
export async function listServers(db: PlatformDb): Promise<ServerLoad[]> {
  const rows = await rowsOf<Row & { tenants: number }>(
    db,
    `select ${COLUMNS}, (select count(*) from tenants where tenants.server_id = database_servers.id) as tenants from database_servers order by name`,
  )
  return rows.map((row) => ({ server: toServer(row), tenants: Number(row.tenants) }))
}

/** The server with the most room left. @throws SERVER.NO_CAPACITY */
export async function pickServer(db: PlatformDb): Promise<DatabaseServer> {
  const open = (await listServers(db)).filter(
    ({ server, tenants }) => server.acceptsTenants && tenants < server.capacity,
  )
  const [roomiest] = open.sort(
    (one, other) => other.server.capacity - other.tenants - (one.server.capacity - one.tenants),
  )
  if (!roomiest) throw new AppError('SERVER.NO_CAPACITY')
  return roomiest.server
}

/**
 * The provisioner's login of a further server, sealed under the application key with the server's id
 * as context. Only the provisioner of the platform may read that column.
 */
export async function findSealedLogin(
  platform: Provisioner,
  platformDatabase: string,
  serverId: string,
): Promise<string | undefined> {
  const [row] = await platform.rows<{ provisioner_login_encrypted: string | null }>(
    `select provisioner_login_encrypted from ${quoteName(platformDatabase)}.database_servers where id = ?`,
    [serverId],
  )
  return row?.provisioner_login_encrypted ?? undefined
}
