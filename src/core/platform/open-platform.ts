import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { platformMigrations } from '../../../migrations/platform/index.js'
import { type Actor, systemActor } from '../actor.js'
import type { Clock } from '../clock.js'
import type { Config } from '../config.js'
import { type Access, type Context, createContext } from '../context.js'
import { newAppKey } from '../crypto/keyring.js'
import { assertOwnHome, isEmbeddedHome } from '../db/embedded-home.js'
import { type EmbeddedOptions, startEmbeddedServer } from '../db/embedded-server.js'
import type { Holder } from '../db/holder.js'
import { describeAddress, parseDatabaseUrl } from '../db/server-address.js'
import { quoteName } from '../db/sql.js'
import { rowsOf } from '../db/statements.js'
import { causeOf, isFailure } from '../driver-failure.js'
import { AppError, asAppError, tlsRefused } from '../errors.js'
import type { Log } from '../log.js'
import {
  type InitReport,
  initPlatform,
  newestPlatformMigration,
  READY_SETTINGS,
} from './init-platform.js'

/** How often a first command looks whether another has prepared the embedded platform. */
const POLL_MS = 200

/** `operator` may open the provisioner's login; `runtime` never holds it, even where it is configured. */
export type Role = 'operator' | 'runtime'

export type OpenOptions = {
  readonly role: Role
  readonly log: Log
  readonly isProduction: boolean
  readonly now?: Clock
  readonly holder?: Holder
  readonly actor?: Actor
  readonly embedded?: EmbeddedOptions
  readonly report?: InitReport
  /** Whether an embedded platform is made if no database is configured and none is there. */
  readonly makesEmbedded?: boolean
}

export type OpenedPlatform = {
  readonly ctx: Context
  /** Whether this call started the embedded server. */
  readonly startedServer: boolean
}

/**
 * Opens the platform that the configuration names, and makes sure that it is there, up to date and ours. Without
 * a database configured that is the embedded one: its server is started if it is stopped, and its platform brought
 * up to date, but neither is made without `makesEmbedded`.
 *
 * @throws CONFIG.…, DATABASE.…, PLATFORM.NONE_HERE, PLATFORM.NOT_INITIALIZED, PLATFORM.OUTDATED
 */
export async function openPlatform(config: Config, options: OpenOptions): Promise<OpenedPlatform> {
  const found = await findPlatform(config, options)
  const ctx = createContext({
    // what a server does of itself is nobody's at a terminal, whoever started it
    ...(options.role === 'runtime' ? { actor: systemActor('serve') } : {}),
    ...options,
    config,
    appKey: found.appKey,
    access: forRole(found.access, options.role),
  })
  try {
    // only the provisioner's login can see and create what an embedded platform lacks
    if (found.access.embeddedHome !== undefined) await readyEmbedded(ctx, found, options)
    else await assertReady(ctx)
    return { ctx, startedServer: found.startedServer }
  } catch (error) {
    await ctx[Symbol.asyncDispose]()
    throw error
  }
}

/** The context that `init` works with: nothing of the platform need be there yet. */
export async function openForInit(
  config: Config,
  options: Omit<OpenOptions, 'role'>,
): Promise<OpenedPlatform> {
  const { access, appKey, startedServer } = await findPlatform(config, {
    ...options,
    role: 'operator',
    makesEmbedded: options.makesEmbedded ?? true,
  })
  if (!access.provisionerLogin) throw new AppError('CONFIG.PROVISIONER_MISSING', '"validonx init"')
  return {
    ctx: createContext({
      ...options,
      config,
      appKey,
      access: { ...access, runtimeLogin: undefined },
    }),
    startedServer,
  }
}

type Found = {
  readonly access: Access
  readonly appKey: string
  readonly startedServer: boolean
}

const forRole = (access: Access, role: Role): Access =>
  role === 'runtime' ? { ...access, provisionerLogin: undefined } : access

async function findPlatform(
  config: Config,
  { isProduction, embedded, role, makesEmbedded = false }: OpenOptions,
): Promise<Found> {
  const configured = configuredAccess(config, role)
  if (configured) {
    if (config.appKey === undefined) throw new AppError('CONFIG.APP_KEY_MISSING')
    return { access: configured, appKey: config.appKey, startedServer: false }
  }
  if (isProduction) throw new AppError('CONFIG.DATABASE_MISSING')
  await assertOwnHome(config.home)
  if (!makesEmbedded && !isEmbeddedHome(config.home))
    throw new AppError('PLATFORM.NONE_HERE', resolve(config.home))
  const server = await startEmbeddedServer(config.home, embedded)
  return {
    access: {
      address: server.address,
      provisionerLogin: server.login,
      runtimeLogin: undefined,
      embeddedHome: server.home,
    },
    appKey: config.appKey ?? (await keepAppKey(config.home)),
    startedServer: server.started,
  }
}

function configuredAccess(config: Config, role: Role): Access | undefined {
  const provisioner =
    config.databaseUrl === undefined ? undefined : parseDatabaseUrl(config.databaseUrl, config)
  const runtime =
    config.runtimeUrl === undefined ? undefined : parseDatabaseUrl(config.runtimeUrl, config)
  const preferred = role === 'runtime' ? (runtime ?? provisioner) : (provisioner ?? runtime)
  if (!preferred) return undefined
  return {
    address: preferred.address,
    provisionerLogin: provisioner?.login,
    runtimeLogin: runtime?.login,
  }
}

/** The embedded platform's own key: made once, readable by its owner alone. Of two makers one wins. */
async function keepAppKey(home: string): Promise<string> {
  const path = join(home, 'app.key')
  try {
    const kept = await readFile(path, 'utf8').catch(() => undefined)
    if (kept !== undefined) return kept.trim()
    await mkdir(home, { recursive: true, mode: 0o700 })
    const draft = `${path}.${randomUUID()}`
    await writeFile(draft, `${newAppKey()}\n`, { mode: 0o600 })
    await link(draft, path).catch(() => {})
    await rm(draft)
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    throw new AppError('CONFIG.HOME_NOT_WRITABLE', path).because(error)
  }
}

async function assertReady(ctx: Context): Promise<void> {
  const refusal = await readStanding(ctx)
  if (refusal) throw refusal
}

async function readyEmbedded(ctx: Context, found: Found, options: OpenOptions): Promise<void> {
  await using operator = createContext({
    ...options,
    config: ctx.config,
    appKey: found.appKey,
    access: found.access,
  })
  for (let waited = 0; ; waited += POLL_MS) {
    const refusal = await readStanding(operator)
    if (!refusal) return
    const canPrepare =
      refusal.code === 'PLATFORM.OUTDATED' ||
      (refusal.code === 'PLATFORM.NOT_INITIALIZED' && options.makesEmbedded === true)
    if (!canPrepare) throw refusal
    try {
      await initPlatform(operator, options.report)
    } catch (error) {
      // another first command is at it: when it is done, there is nothing left to do
      const busy = error instanceof AppError && error.code === 'LEASE.HELD'
      if (!busy || waited > ctx.config.leaseTime * 1000) throw error
      await sleep(POLL_MS)
    }
  }
}

/**
 * What keeps the platform from being used, or undefined if nothing does: one statement as the runtime login tells
 * whether it is there, ours and up to date.
 */
async function readStanding(ctx: Context): Promise<AppError | undefined> {
  const { platformDatabase } = ctx.config
  try {
    const rows = await rowsOf<{ name: string; value: string }>(
      ctx.platform,
      "select name, value from platform_settings union all select 'migration', name from knex_migrations",
    )
    const settings = new Map(rows.map(({ name, value }) => [name, value]))
    const appKeyId = settings.get(READY_SETTINGS.appKeyId)
    if (appKeyId === undefined) return new AppError('PLATFORM.NOT_INITIALIZED', platformDatabase)
    if (!ctx.keyring.has(appKeyId)) return new AppError('CONFIG.APP_KEY_CHANGED', platformDatabase)
    const applied = new Set(
      rows.filter(({ name }) => name === 'migration').map(({ value }) => value),
    )
    const isComplete = platformMigrations.every(({ name }) => applied.has(name))
    const isReady = (settings.get(READY_SETTINGS.readyFor) ?? '') >= newestPlatformMigration()
    return isComplete && isReady ? undefined : new AppError('PLATFORM.OUTDATED', platformDatabase)
  } catch (error) {
    return explain(ctx, error)
  }
}

/**
 * A refused runtime login may mean that there is no platform yet, or that the application key, from
 * which its password follows, is another. The provisioner, where we have one, can tell.
 */
async function explain(ctx: Context, error: unknown): Promise<AppError> {
  const { platformDatabase } = ctx.config
  const failure = causeOf(error)
  if (failure?.kind === 'missing') return new AppError('PLATFORM.NOT_INITIALIZED', platformDatabase)
  if (failure?.kind === 'unreachable') {
    return new AppError('DATABASE.UNREACHABLE', describeAddress(ctx.access.address)).because(error)
  }
  if (failure?.kind === 'tls')
    return tlsRefused(describeAddress(ctx.access.address), failure).because(error)
  const refused = failure?.kind === 'access denied' || failure?.kind === 'privilege missing'
  if (!refused || !ctx.access.provisionerLogin) return asAppError(error)
  try {
    const provisioner = await ctx.provisioner()
    const [row] = await provisioner.rows<{ value: string }>(
      `select value from ${quoteName(platformDatabase)}.platform_settings where name = 'app_key_id'`,
    )
    if (!row) return new AppError('PLATFORM.NOT_INITIALIZED', platformDatabase)
    // with a key of ours the login is as it was made for another version or another key of the ring
    return ctx.keyring.has(row.value)
      ? new AppError('PLATFORM.OUTDATED', platformDatabase).because(error)
      : new AppError('CONFIG.APP_KEY_CHANGED', platformDatabase)
  } catch (deeper) {
    if (isFailure(deeper, 'missing'))
      return new AppError('PLATFORM.NOT_INITIALIZED', platformDatabase)
    return asAppError(deeper)
  }
}
