import type { Context } from '../context.js'
import { readTraits } from '../db/database-account.js'
import { maySeeOthers, type Provisioner } from '../db/provisioner.js'
import { assertProvisionerPrivileges } from '../db/provisioner-privileges.js'
import { describeAddress } from '../db/server-address.js'
import { assertSupported } from '../db/server-version.js'
import { runtimeUser } from '../db/user-names.js'
import { WRITE_PROBE } from '../db/write-probe.js'
import { asAppError } from '../errors.js'
import { examineOpenRights, examineSettings } from '../fleet/examine-server.js'
import { findSchemaScript } from '../fleet/template.js'
import type { DatabaseServer } from '../servers/database-server.js'
import { listServers } from '../servers/database-server-store.js'
import { findServerNotice, UNREAD_CLIENT_ADDRESS } from '../servers/server-notice-store.js'
import { listDatabaseUsers } from '../tenants/tenant-store.js'
import { examineAppKeys } from './examine-app-keys.js'

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
  const found: Examined[] = [await examineRuntimeLogin(ctx), ...(await examineProxies(ctx))]
  // where the platform can't be read, the line before says so
  found.push(...(await examineAppKeys(ctx).catch(() => [])))
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
        next:
          error.code === 'DATABASE.UNREACHABLE'
            ? 'its tenants cannot be served until it can be reached'
            : 'fix this, then run "validonx doctor" again',
      })
    }
  }
  return found
}

async function examineRuntimeLogin({ platform }: Context): Promise<Examined> {
  const area = 'runtime login'
  try {
    await platform.raw(WRITE_PROBE)
    return { area, state: 'ok', says: 'it may read and write the platform database' }
  } catch (thrown) {
    const error = asAppError(thrown)
    const next = error.code === 'DATABASE.READ_ONLY' ? 'make the server writable' : 'validonx init'
    return { area, state: 'fault', says: error.message, next }
  }
}

const NOTICED_WITHIN_MS = 7 * 86_400_000

/** What serving processes noticed of proxies in front of them. */
async function examineProxies({ platform, now }: Context): Promise<Examined[]> {
  const notice = await findServerNotice(platform, UNREAD_CLIENT_ADDRESS).catch(() => undefined)
  if (!notice || now().getTime() - notice.lastSeenAt.getTime() > NOTICED_WITHIN_MS) return []
  return [
    {
      area: 'proxies',
      state: 'warning',
      says: `"serve" gets the client's address in a header that it does not read (${notice.detail}, last at ${notice.lastSeenAt.toISOString()}): all clients behind that proxy count as one address, and one of them can lock out the rest`,
      next: 'set VALIDONX_TRUSTED_HOPS to the number of your proxies, and let them send X-Forwarded-For; without a proxy, ignore this',
    },
  ]
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
    'run those statements as an administrator',
    () =>
      assertProvisionerPrivileges(provisioner, {
        platformDatabase: ctx.config.platformDatabase,
        tenantPrefix: ctx.config.tenantPrefix,
      }),
  )
  found.push(await seesOthers(provisioner))
  found.push(encryption(provisioner, settings))
  found.push(await clock(ctx, provisioner))
  found.push(...limits(ctx, settings, tenants))
  found.push(...okIfNone(await examineSettings(ctx, provisioner), 'no server setting is a problem'))
  found.push(await passwords(ctx, provisioner, server))
  found.push(...okIfNone(await examineOpenRights(provisioner), 'nothing is open to everybody'))
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
  return (await maySeeOthers(provisioner))
    ? { state: 'ok', says: 'it may see who holds locks, and how large tenants are' }
    : {
        state: 'warning',
        says: 'the provisioner’s login may not see other sessions: a blocked migration cannot name its blocker',
        next: 'grant it PROCESS',
      }
}

function encryption(provisioner: Provisioner, { cipher }: Settings): Found {
  const { address } = provisioner.reach
  if (cipher !== '') {
    const unchecked = address.tls?.verifyIdentity
      ? ''
      : ', and the name in its certificate is not checked'
    return { state: 'ok', says: `sessions are encrypted (${cipher})${unchecked}` }
  }
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

/** Accounts of ours made by hand, or by an early version, may follow the server's password lifetime. */
async function passwords(
  ctx: Context,
  provisioner: Provisioner,
  server: DatabaseServer,
): Promise<Found> {
  const { isMariaDb, passwordLifetime } = await readTraits(provisioner)
  if (passwordLifetime === 0) return { state: 'ok', says: 'passwords do not expire' }
  const says = `default_password_lifetime is ${passwordLifetime} days`
  try {
    const accounts = await provisioner.rows<{ user: string }>(
      isMariaDb
        ? "select user as user from mysql.global_priv where coalesce(json_value(priv, '$.password_lifetime'), -1) <> 0"
        : 'select user as user from mysql.user where coalesce(password_lifetime, 1) <> 0',
    )
    // another platform on the same server has accounts of its own
    const names = new Set([
      ...ctx.keyring.ids.map((id) => runtimeUser(ctx.config.platformDatabase, id)),
      ...(await listDatabaseUsers(ctx.platform, server.id)),
    ])
    const ours = accounts.filter(({ user }) => names.has(user))
    if (ours.length === 0)
      return { state: 'ok', says: `${says}, and the accounts of validonx are exempt` }
    const some = ours
      .slice(0, 3)
      .map(({ user }) => `"${user}"`)
      .join(', ')
    return {
      state: 'fault',
      says: `${says}, and ${ours.length} account(s) of validonx are not exempt: ${some}${ours.length > 3 ? ', …' : ''}`,
      next: 'validonx init, then validonx tenant health --all --fix',
    }
  } catch {
    return {
      state: 'warning',
      says: `${says}; whether the accounts of validonx are exempt cannot be seen by this login`,
      next: 'validonx init, then validonx tenant health --all --fix; or grant it SELECT on mysql.*',
    }
  }
}

const okIfNone = (found: readonly Found[], says: string): readonly Found[] =>
  found.length > 0 ? found : [{ state: 'ok', says }]
