import type { Context } from '../context.js'
import type { Provisioner } from '../db/provisioner.js'
import { assertProvisionerPrivileges } from '../db/provisioner-privileges.js'
import { describeAddress } from '../db/server-address.js'
import { assertSupported } from '../db/server-version.js'
import { rowsOf } from '../db/statements.js'
import { asAppError } from '../errors.js'
import { findSchemaScript } from '../fleet/template.js'
import type { DatabaseServer } from '../servers/database-server.js'
import { listServers } from '../servers/database-server-store.js'
import { databaseNameOf } from '../tenants/tenant.js'

/** One thing that was looked at. `next` says what to do about a warning or a fault. */
export type Examined = {
  readonly area: string
  readonly state: 'ok' | 'warning' | 'fault'
  readonly says: string
  readonly next?: string
}

/** Clocks further apart than this make leases and expiries wrong. */
const MOST_SKEW_MS = 2_000
/** Tables of one tenant database, roughly: what caches are measured against. */
const TABLES_PER_TENANT = 15
/** Sessions that an installation needs beside those of `serve`: commands, the platform, a person. */
const SPARE_SESSIONS = 30

/**
 * Looks at what the platform stands on: the databases' servers with their versions, privileges, TLS,
 * clocks and limits, the runtime login, and what is open to everybody. Changes nothing.
 */
export async function examineInstallation(ctx: Context): Promise<Examined[]> {
  const found: Examined[] = [await examineRuntimeLogin(ctx)]
  const servers = await listServers(ctx.platform).catch(() => [])
  for (const { server, tenants } of servers) {
    const area = `server ${server.name}`
    try {
      const provisioner = await ctx.provisioner(server)
      for (const examined of await examineServer(ctx, provisioner, server, tenants))
        found.push({ ...examined, area })
    } catch (thrown) {
      const error = asAppError(thrown)
      found.push({
        area,
        state: 'fault',
        says: error.message,
        next: 'its tenants cannot be served until it answers',
      })
    }
  }
  return found
}

async function examineRuntimeLogin({ platform }: Context): Promise<Examined> {
  const area = 'runtime login'
  try {
    await rowsOf(platform, 'select 1')
    return { area, state: 'ok', says: 'it reaches the platform database' }
  } catch (thrown) {
    return { area, state: 'fault', says: asAppError(thrown).message, next: 'validonx init' }
  }
}

type Found = Omit<Examined, 'area'>

async function examineServer(
  ctx: Context,
  provisioner: Provisioner,
  server: DatabaseServer,
  tenants: number,
): Promise<Found[]> {
  const found: Found[] = []
  const attempt = async (ok: string, next: string, look: () => Promise<void> | void) => {
    try {
      await look()
      found.push({ state: 'ok', says: ok })
    } catch (thrown) {
      found.push({ state: 'fault', says: asAppError(thrown).message, next })
    }
  }
  const settings = await readSettings(provisioner)
  await attempt(`version ${settings.version}`, 'upgrade the server', () =>
    assertSupported(settings.version),
  )
  await attempt(
    'the provisioner’s login has the privileges that it needs',
    'grant what is missing',
    () =>
      assertProvisionerPrivileges(provisioner, [
        ctx.config.platformDatabase,
        databaseNameOf(ctx.config.tenantPrefix, 'sample'),
      ]),
  )
  found.push(await seesOthers(provisioner))
  found.push(encryption(provisioner, settings))
  found.push(await clock(ctx, provisioner))
  found.push(...limits(ctx, settings, tenants))
  found.push(...(await openToAll(provisioner)))
  const hasTemplate =
    (await findSchemaScript(ctx, provisioner).catch(() => undefined)) !== undefined
  found.push(
    hasTemplate
      ? { state: 'ok', says: 'its template is at the newest schema' }
      : {
          state: 'warning',
          says: `it has no template at the newest schema: tenants on "${server.name}" are made by all migrations, one after another`,
          next: 'validonx init',
        },
  )
  return found
}

type Settings = {
  readonly version: string
  readonly maxConnections: number
  readonly tableDefinitionCache: number
  readonly openFilesLimit: number
  readonly cipher: string
}

async function readSettings(provisioner: Provisioner): Promise<Settings> {
  const [row] = await provisioner.rows<Record<string, unknown>>(
    'select version() as version, @@max_connections as connections, @@table_definition_cache as definitions, @@open_files_limit as files',
  )
  const [cipher] = await provisioner.rows<{ Value: string }>(
    "show session status like 'Ssl_cipher'",
  )
  return {
    version: String(row?.version),
    maxConnections: Number(row?.connections),
    tableDefinitionCache: Number(row?.definitions),
    openFilesLimit: Number(row?.files),
    cipher: cipher?.Value ?? '',
  }
}

async function seesOthers(provisioner: Provisioner): Promise<Found> {
  const sees = await provisioner.rows('select 1 from information_schema.innodb_trx limit 1').then(
    () => true,
    () => false,
  )
  return sees
    ? { state: 'ok', says: 'it may see who holds locks, and how large tenants are' }
    : {
        state: 'warning',
        says: 'the provisioner’s login may not see other sessions: a blocked migration cannot name its blocker',
        next: 'grant it PROCESS',
      }
}

function encryption(provisioner: Provisioner, { cipher }: Settings): Found {
  const { address } = provisioner.reach
  if (cipher !== '') return { state: 'ok', says: `sessions are encrypted (${cipher})` }
  if (address.socketPath !== undefined || /^(localhost|127\.|::1)/.test(address.host))
    return { state: 'ok', says: 'sessions stay on this machine' }
  return {
    state: 'warning',
    says: `sessions to ${describeAddress(address)} are not encrypted`,
    next: 'leave VALIDONX_DATABASE_TLS at its default, and set VALIDONX_DATABASE_CA',
  }
}

async function clock(ctx: Context, provisioner: Provisioner): Promise<Found> {
  const before = ctx.now().getTime()
  const [row] = await provisioner.rows<{ now: string }>(
    "select date_format(utc_timestamp(3), '%Y-%m-%dT%H:%i:%s.%fZ') as now",
  )
  const after = ctx.now().getTime()
  const skew = Math.round(Date.parse(`${String(row?.now).slice(0, 23)}Z`) - (before + after) / 2)
  return Math.abs(skew) <= MOST_SKEW_MS
    ? { state: 'ok', says: `its clock and ours are ${Math.abs(skew)} ms apart` }
    : {
        state: 'fault',
        says: `its clock is ${Math.abs(Math.round(skew / 1000))} s ${skew > 0 ? 'ahead of' : 'behind'} ours: licenses and keys expire at the wrong time`,
        next: 'synchronize the clocks',
      }
}

function limits(ctx: Context, settings: Settings, tenants: number): Found[] {
  const needed = ctx.config.connections + SPARE_SESSIONS
  const tables = tenants * TABLES_PER_TENANT
  return [
    settings.maxConnections >= needed
      ? {
          state: 'ok',
          says: `max_connections ${settings.maxConnections}, enough for ${Math.max(1, Math.floor((settings.maxConnections - SPARE_SESSIONS) / ctx.config.connections))} serving processes`,
        }
      : {
          state: 'fault',
          says: `max_connections is ${settings.maxConnections}, and one serving process may open ${ctx.config.connections}`,
          next: `raise it to ${needed} or more, or lower VALIDONX_CONNECTIONS`,
        },
    settings.tableDefinitionCache >= Math.min(tables, 60_000)
      ? {
          state: 'ok',
          says: `table_definition_cache ${settings.tableDefinitionCache} for ${tenants} tenants`,
        }
      : {
          state: 'warning',
          says: `table_definition_cache is ${settings.tableDefinitionCache}, and ${tenants} tenants have about ${tables} tables`,
          next: `raise it towards ${Math.min(tables, 60_000)}, as memory allows`,
        },
  ]
}

/** Rights that any login has without being given them. */
async function openToAll(provisioner: Provisioner): Promise<Found[]> {
  try {
    const open = await provisioner.rows<{ db: string }>(
      "select distinct db as db from mysql.db where user = '' or user = 'PUBLIC' or (db like 'test%' and host = '%' and user = '')",
    )
    const nobody = await provisioner.rows("select 1 from mysql.user where user = '' limit 1")
    const found: Found[] = []
    if (open.length > 0)
      found.push({
        state: 'fault',
        says: `everybody may write to databases like ${open.map(({ db }) => `"${db}"`).join(', ')}`,
        next: "delete from mysql.db where user = ''; flush privileges",
      })
    if (nobody.length > 0)
      found.push({
        state: 'fault',
        says: 'there is a user without a name, who is taken for a tenant’s at localhost',
        next: "drop user ''@'localhost', and the others without a name",
      })
    return found.length > 0 ? found : [{ state: 'ok', says: 'nothing is open to everybody' }]
  } catch {
    return [
      {
        state: 'warning',
        says: 'whether something is open to everybody cannot be seen by this login',
        next: 'grant it SELECT on mysql.db and mysql.user, or look as root',
      },
    ]
  }
}
