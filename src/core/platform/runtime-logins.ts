import { type Context, derivedRuntimeLogin } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import {
  type Account,
  accountSql,
  isLoginRefused,
  passwordSql,
  readTraits,
  type ServerTraits,
} from '../db/database-account.js'
import { maySeeOthers, type Provisioner } from '../db/provisioner.js'
import { quoteName, quoteUser } from '../db/sql.js'
import { affectedBy, rowsOf } from '../db/statements.js'
import { formerRuntimeUser, runtimeUser } from '../db/user-names.js'
import { AppError } from '../errors.js'
import { runtimePrivileges } from './runtime-privileges.js'

/** Rows of `platform_settings` that record which application keys have a runtime login: this and the key's id. */
const SETTING = 'runtime_login:'

/**
 * Makes the runtime login of the current application key and renews those of earlier keys of the ring,
 * so that processes that haven't been given the new one can still log in. Each has a name of its own:
 * MariaDB can't keep two passwords for one user.
 *
 * @returns the ids of the earlier keys that have a runtime login
 * @throws PLATFORM.LOGIN_TAKEN, PROVISIONING.GRANTS_WRONG
 */
export async function grantRuntimeLogins(
  ctx: Context,
  provisioner: Provisioner,
  db: PlatformDb,
): Promise<string[]> {
  const { currentId, ids } = ctx.keyring
  const recorded = new Set(await recordedLogins(db))
  const earlier = ids.filter((keyId) => keyId !== currentId && recorded.has(keyId))
  const traits = await readTraits(provisioner)
  for (const keyId of [...earlier, currentId])
    await grantRuntimeLogin(ctx, provisioner, traits, keyId)
  await assertNoMore(ctx).catch(async (error) => {
    if (!isLoginRefused(error)) throw error
    await provisioner.run(passwordSql(traits, accountOf(ctx, currentId)))
    await assertNoMore(ctx)
  })
  await affectedBy(
    db,
    'insert into platform_settings (name, value, updated_at) values (?, ?, ?) on duplicate key update name = name',
    [`${SETTING}${currentId}`, runtimeUser(ctx.config.platformDatabase, currentId), ctx.now()],
  )
  return [...recorded].filter((keyId) => keyId !== currentId)
}

/** The ids of all application keys that have a runtime login. */
export async function recordedLogins(db: PlatformDb): Promise<string[]> {
  const rows = await rowsOf<{ name: string }>(
    db,
    'select name from platform_settings where left(name, ?) = ? order by name',
    [SETTING.length, SETTING],
  )
  return rows.map(({ name }) => name.slice(SETTING.length))
}

/** Drops the runtime login of an earlier application key. Sessions that it has open stay. */
export async function dropRuntimeLogin(ctx: Context, keyId: string): Promise<void> {
  const { platformDatabase, tenantUserHost } = ctx.config
  const provisioner = await ctx.provisioner()
  for (const user of loginsOf(ctx, keyId))
    await provisioner.run(`drop user if exists ${quoteUser(user, tenantUserHost)}`)
  await provisioner.withDatabase(platformDatabase, (db: PlatformDb) =>
    affectedBy(db, 'delete from platform_settings where name = ?', [`${SETTING}${keyId}`]),
  )
}

/**
 * Counts the open sessions of the logins that `dropRuntimeLogin` drops. Without the PROCESS privilege the
 * provisioner can't see them, and the count is 0.
 */
export async function countRuntimeSessions(ctx: Context, keyId: string): Promise<number> {
  const users = loginsOf(ctx, keyId)
  const provisioner = await ctx.provisioner()
  const sessions = await provisioner.rows<{ User: string }>('show processlist')
  return sessions.filter(({ User }) => users.includes(User)).length
}

/** Whether the provisioner may see the sessions of other logins, which takes the PROCESS privilege. */
export const maySeeRuntimeSessions = async (ctx: Context): Promise<boolean> =>
  maySeeOthers(await ctx.provisioner())

/** The key's runtime login, and the one that earlier versions shared between keys. */
const loginsOf = ({ config: { platformDatabase } }: Context, keyId: string): string[] => [
  runtimeUser(platformDatabase, keyId),
  formerRuntimeUser(platformDatabase),
]

async function grantRuntimeLogin(
  ctx: Context,
  provisioner: Provisioner,
  traits: ServerTraits,
  keyId: string,
): Promise<void> {
  const { platformDatabase } = ctx.config
  const account = accountOf(ctx, keyId)
  if (account.user === provisioner.reach.login.user)
    throw new AppError('PLATFORM.LOGIN_TAKEN', account.user)
  await provisioner.run(accountSql(traits, account))
  for (const [table, privileges] of Object.entries(runtimePrivileges)) {
    await provisioner.run(
      `grant ${privileges} on ${quoteName(platformDatabase)}.${quoteName(table)} to ${quoteUser(account.user, account.host)}`,
    )
  }
}

const accountOf = ({ config, keyring }: Context, keyId: string): Account => ({
  ...derivedRuntimeLogin(config, keyring, keyId),
  host: config.tenantUserHost,
})

/** A user of that name may have been there before, with rights of its own. */
async function assertNoMore({ config, keyring, platform }: Context): Promise<void> {
  const here = `\`${config.platformDatabase}\`.`
  const grants = await rowsOf<Record<string, string>>(platform, 'show grants')
  const strays = grants
    .flatMap((row) => Object.values(row))
    .filter((grant) => !grant.startsWith('GRANT USAGE ON *.*') && !grant.includes(` ON ${here}`))
    .map((grant) => grant.replace(/ IDENTIFIED .*/, ''))
  const user = runtimeUser(config.platformDatabase, keyring.currentId)
  if (strays.length > 0) throw new AppError('PROVISIONING.GRANTS_WRONG', user, strays.join('; '))
}
