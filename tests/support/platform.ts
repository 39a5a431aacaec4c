import { type Config, loadConfig } from '../../src/core/config.js'
import type { Context } from '../../src/core/context.js'
import { newAppKey } from '../../src/core/crypto/keyring.js'
import { Provisioner } from '../../src/core/db/provisioner.js'
import { parseDatabaseUrl } from '../../src/core/db/server-address.js'
import { quoteName, quoteUser } from '../../src/core/db/sql.js'
import { silentLog } from '../../src/core/log.js'
import { initPlatform } from '../../src/core/platform/init-platform.js'
import {
  type OpenOptions,
  openForInit,
  openPlatform,
} from '../../src/core/platform/open-platform.js'

export type Environment = Readonly<Record<string, string>>

/** A word that no other test run uses: it begins the names of all databases and users that a file makes. */
export const freshWord = (): string => `x${Math.random().toString(36).slice(2, 9)}`

/** The environment of a platform of its own, as an operator would set it. */
export function freshEnvironment(databaseUrl: string, extra: Environment = {}): Environment {
  const word = freshWord()
  return {
    VALIDONX_DATABASE_URL: databaseUrl,
    VALIDONX_PLATFORM_DATABASE: `vxp_${word}`,
    VALIDONX_TENANT_PREFIX: `vxt_${word}_`,
    VALIDONX_APP_KEY: newAppKey(),
    VALIDONX_OPERATOR: 'tester',
    ...extra,
  }
}

export const configOf = (environment: Environment): Config => loadConfig({ environment }).config

/** Makes the platform that the environment names. */
export async function initialize(environment: Environment): Promise<string> {
  const { ctx } = await openForInit(configOf(environment), { log: silentLog, isProduction: false })
  await using _ = ctx
  return (await initPlatform(ctx)).runtimeUrl
}

export async function open(
  environment: Environment,
  options: Partial<OpenOptions> = {},
): Promise<Context> {
  const { ctx } = await openPlatform(configOf(environment), {
    role: 'operator',
    log: silentLog,
    isProduction: false,
    ...options,
  })
  return ctx
}

/** A session of the provisioner's login, for looking at what was made and for breaking it. */
export function openProvisioner(databaseUrl: string): Provisioner {
  const { address, login } = parseDatabaseUrl(databaseUrl, {})
  return new Provisioner({ address, login, connectTimeoutMs: 5_000 }, 4, silentLog)
}

/** Drops all databases and users that begin with the environment's names. */
export async function dropPlatform(environment: Environment): Promise<void> {
  const {
    VALIDONX_DATABASE_URL = '',
    VALIDONX_PLATFORM_DATABASE = '',
    VALIDONX_TENANT_PREFIX = '',
  } = environment
  await using provisioner = openProvisioner(VALIDONX_DATABASE_URL)
  const platform = quoteName(VALIDONX_PLATFORM_DATABASE)
  const users = await provisioner
    .rows<{ user: string }>(`select database_user as user from ${platform}.tenants`)
    .catch(() => [])
  const logins = await provisioner
    .rows<{ user: string }>(
      `select value as user from ${platform}.platform_settings where left(name, 14) = 'runtime_login:'`,
    )
    .catch(() => [])
  const databases = await provisioner.rows<{ name: string }>(
    'select schema_name as name from information_schema.schemata where schema_name = ? or left(schema_name, ?) = ?',
    [VALIDONX_PLATFORM_DATABASE, VALIDONX_TENANT_PREFIX.length, VALIDONX_TENANT_PREFIX],
  )
  for (const { name } of databases)
    await provisioner.run(`drop database if exists ${quoteName(name)}`)
  for (const { user } of [...users, ...logins])
    await provisioner.run(`drop user if exists ${quoteUser(user, '%')}`)
}
