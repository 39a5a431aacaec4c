import type { Actor } from './actor.js'
import { operatorActor } from './actor.js'
import type { Clock } from './clock.js'
import { systemClock } from './clock.js'
import type { Config } from './config.js'
import { Keyring } from './crypto/keyring.js'
import { connectPool, type PlatformDb, type Reach } from './db/connect.js'
import { type Holder, thisProcess } from './db/holder.js'
import type { LeaseTerms } from './db/lease.js'
import { Provisioner } from './db/provisioner.js'
import { addressOf, describeAddress, type Login, type ServerAddress } from './db/server-address.js'
import { TenantDatabaseManager, type TenantPlace } from './db/tenant-database-manager.js'
import { withDefaults } from './db/tls.js'
import { runtimeUser, tenantUser } from './db/user-names.js'
import { AppError } from './errors.js'
import type { Log } from './log.js'
import type { DatabaseServer } from './servers/database-server.js'
import { findSealedLogin, getServerById } from './servers/database-server-store.js'

/** How many sessions of the provisioner's login one process opens on one server. */
const PROVISIONER_SESSIONS = 8
/** Most connections to the platform database of one process. */
export const PLATFORM_CONNECTIONS = 10
const IDLE_TIMEOUT_MS = 60_000
const WORK_TIMEOUT_MS = 30_000
const KNEX_INSTANCES = 500

/** A quarter of the budget, at least four, unless it is set. */
export const connectionsPerTenant = ({
  connections,
  connectionsPerTenant: most,
}: Pick<Config, 'connections' | 'connectionsPerTenant'>): number =>
  most ?? Math.max(4, Math.ceil(connections / 4))

/** Where the platform is, and with which logins. */
export type Access = {
  readonly address: ServerAddress
  /** Absent where the process must make do with the runtime login. */
  readonly provisionerLogin: Login | undefined
  /** Absent where it follows from the application key. */
  readonly runtimeLogin: Login | undefined
  /** The folder of the embedded server, if it is the one. */
  readonly embeddedHome?: string
}

/** The platform as people tell it from others: `validonx_platform on db.example.com:3306`. Never a login. */
export const describePlatform = ({ config, access }: Pick<Context, 'config' | 'access'>): string =>
  `${config.platformDatabase} on ${
    access.embeddedHome === undefined
      ? describeAddress(access.address)
      : `the embedded server of ${access.embeddedHome}`
  }`

/** Everything that a platform verb receives: the house, opened. */
export type Context = AsyncDisposable & {
  readonly config: Config
  readonly keyring: Keyring
  readonly access: Access
  /** The platform database, under the runtime login. */
  readonly platform: PlatformDb
  readonly tenantDatabases: TenantDatabaseManager
  /** Tenants that may have been written to: their events are relayed before the process leaves. */
  readonly touched: Map<string, TenantPlace>
  readonly actor: Actor
  /** The request that is answered, for the trail; absent at a terminal. */
  readonly requestId?: string | undefined
  readonly lease: LeaseTerms
  readonly now: Clock
  readonly log: Log
  /** @throws CONFIG.PROVISIONER_MISSING where only the runtime login is configured */
  provisioner(server?: DatabaseServer): Promise<Provisioner>
}

export type ContextParts = {
  readonly config: Config
  readonly access: Access
  readonly appKey: string
  readonly log: Log
  readonly now?: Clock
  readonly holder?: Holder
  readonly actor?: Actor
}

/** Wires the house. Nothing is connected before it is asked for. */
export function createContext({
  config,
  access,
  appKey,
  log,
  now = systemClock,
  holder,
  actor,
}: ContextParts): Context {
  const keyring = new Keyring(appKey, config.appPreviousKeys)
  const connectTimeoutMs = config.connectTimeout * 1000
  const acquireTimeoutMs = config.acquireTimeout * 1000
  const provisioners = new Map<string, Promise<Provisioner>>()

  const runtime: Reach = {
    address: access.address,
    login: runtimeLogin(config, access, keyring),
    connectTimeoutMs,
  }
  const platform = connectPool<PlatformDb>(
    runtime,
    config.platformDatabase,
    { max: PLATFORM_CONNECTIONS, acquireTimeoutMs: Math.max(acquireTimeoutMs, 1000) },
    log,
  )
  // not from `platform`: its transactions may be waiting for a tenant's connection, which waits for this
  const lookups = connectPool<PlatformDb>(
    runtime,
    config.platformDatabase,
    { max: 1, acquireTimeoutMs: Math.max(acquireTimeoutMs, 1000) },
    log,
  )
  const tenantDatabases = new TenantDatabaseManager({
    addressOf: async (serverId) =>
      serverAddress(config, access, await getServerById(lookups, serverId)),
    loginOf: ({ id, credentialsGeneration, credentialsKeyId }) => ({
      user: tenantUser(id),
      password: keyring.tenantPassword(id, credentialsGeneration, credentialsKeyId),
    }),
    limits: {
      connections: config.connections,
      perTenant: connectionsPerTenant(config),
      waiting: config.connections * 64,
      acquireTimeoutMs,
      connectTimeoutMs,
      idleTimeoutMs: IDLE_TIMEOUT_MS,
    },
    knexInstances: KNEX_INSTANCES,
    workTimeoutMs: WORK_TIMEOUT_MS,
    log,
  })

  const openProvisioner = async (server: DatabaseServer | undefined): Promise<Provisioner> => {
    const login = access.provisionerLogin
    if (!login) throw new AppError('CONFIG.PROVISIONER_MISSING', 'This command')
    const home = new Provisioner(
      { address: access.address, login, connectTimeoutMs },
      PROVISIONER_SESSIONS,
      log,
    )
    if (!server?.address) return home
    await using reader = home
    const sealed = await findSealedLogin(reader, config.platformDatabase, server.id)
    const own =
      sealed === undefined ? login : (JSON.parse(keyring.decrypt(sealed, server.id)) as Login)
    const address = serverAddress(config, access, server)
    return new Provisioner({ address, login: own, connectTimeoutMs }, PROVISIONER_SESSIONS, log)
  }

  return {
    config,
    keyring,
    access,
    platform,
    tenantDatabases,
    touched: new Map(),
    actor: actor ?? operatorActor(config.operator, config.onBehalfOf),
    lease: { holder: holder ?? thisProcess(), seconds: config.leaseTime },
    now,
    log,
    provisioner(server) {
      const key = server?.address ? server.id : 'platform'
      const opening = provisioners.get(key) ?? openProvisioner(server)
      provisioners.set(key, opening)
      opening.catch(() => provisioners.delete(key))
      return opening
    },
    async [Symbol.asyncDispose]() {
      await tenantDatabases[Symbol.asyncDispose]()
      for (const opening of provisioners.values()) {
        await (await opening.catch(() => undefined))?.[Symbol.asyncDispose]()
      }
      await lookups.destroy()
      await platform.destroy()
    },
  }
}

/** The same house, with somebody else at work in it. */
export const actingAs = (ctx: Context, actor: Actor, requestId?: string): Context => ({
  ...ctx,
  actor,
  requestId,
})

/** The login that `init` makes: given by URL, else derived from the application key. */
export const runtimeLogin = (config: Config, access: Access, keyring: Keyring): Login =>
  access.runtimeLogin ?? derivedRuntimeLogin(config, keyring, keyring.currentId)

/** The runtime login that follows from one application key of the ring. */
export const derivedRuntimeLogin = (
  { platformDatabase }: Config,
  keyring: Keyring,
  keyId: string,
): Login => ({
  user: runtimeUser(platformDatabase, keyId),
  password: keyring.runtimePassword(platformDatabase, keyId),
})

const serverAddress = (
  config: Config,
  access: Access,
  { address, tls }: DatabaseServer,
): ServerAddress => (address ? addressOf(address, withDefaults(tls, config)) : access.address)
