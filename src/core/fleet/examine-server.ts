import { type Context, connectionsPerTenant, PLATFORM_CONNECTIONS } from '../context.js'
import type { Provisioner } from '../db/provisioner.js'
import { describeAddress } from '../db/server-address.js'
import { findSettingFaults } from '../db/server-settings.js'
import { quoteName, quoteText, quoteUser } from '../db/sql.js'
import { AppError } from '../errors.js'
import { rehearse } from './rehearse-server.js'

/** One thing about a server that an operator should know. `next` says what to do about it. */
export type ServerFinding = {
  readonly state: 'warning' | 'fault'
  readonly says: string
  readonly next: string
}

/** Settings that validonx cannot work with. */
export async function examineSettings(
  ctx: Context,
  provisioner: Provisioner,
): Promise<ServerFinding[]> {
  const faults = await findSettingFaults(provisioner, {
    accountHost: ctx.config.tenantUserHost,
    // the runtime login has one more, for looking up servers
    sessionsPerLogin: Math.max(PLATFORM_CONNECTIONS + 1, connectionsPerTenant(ctx.config)),
  })
  return faults.map((fault) => ({ state: 'fault', ...fault }))
}

/**
 * Refuses a server that could not hold a tenant, before anything is made there that stays.
 *
 * @throws DATABASE.UNSUITABLE with all that is known to be in the way
 */
export async function assertSuitable(ctx: Context, provisioner: Provisioner): Promise<void> {
  const settings = await examineSettings(ctx, provisioner)
  const failure = settings.length > 0 ? undefined : await rehearse(ctx, provisioner)
  if (settings.length === 0 && failure === undefined) return
  const open = failure === undefined ? [] : await examineOpenRights(provisioner)
  const faults = [...settings, ...open.filter(({ state }) => state === 'fault')]
  throw new AppError(
    'DATABASE.UNSUITABLE',
    describeAddress(provisioner.reach.address),
    failure,
    faults.map(({ says, next }) => `${says}. Next: ${next}`),
  ).with({ rehearsal: failure ?? null, faults })
}

type Grantee = { readonly db: string; readonly user: string; readonly host: string }

/** Rights that every login has without being given them. */
export async function examineOpenRights(provisioner: Provisioner): Promise<ServerFinding[]> {
  try {
    const databases = await provisioner.rows<Grantee>(
      "select db as db, user as user, host as host from mysql.db where user in ('', 'PUBLIC') order by db",
    )
    const nameless = await provisioner.rows<Grantee>(
      "select user as user, host as host from mysql.user where user = '' order by host",
    )
    const found: ServerFinding[] = []
    if (databases.length > 0)
      found.push({
        state: 'fault',
        says: `everybody may use databases like ${[...new Set(databases.map(({ db }) => `"${db}"`))].join(', ')}`,
        next: statements(databases.map(closeSql)),
      })
    for (const what of await publicRights(provisioner))
      found.push({
        state: 'fault',
        says: `everybody has rights on ${what}`,
        next: `revoke all privileges on ${what} from public;`,
      })
    if (nameless.length > 0)
      found.push({
        state: 'fault',
        says: 'there is a user without a name, who is taken for a tenant’s at its host',
        next: statements(nameless.map(({ user, host }) => `drop user ${quoteUser(user, host)}`)),
      })
    return found
  } catch {
    return [
      {
        state: 'warning',
        says: 'whether something is open to everybody cannot be seen by this login',
        next: 'grant it SELECT on mysql.*, or look as root',
      },
    ]
  }
}

/** Ready to be pasted. */
const statements = (sql: readonly string[]): string => `${sql.join('; ')};`

/** PUBLIC is a role of MariaDB; a row without a user is older than roles, and no REVOKE finds it. */
const closeSql = ({ db, user, host }: Grantee): string =>
  user === 'PUBLIC'
    ? `revoke all privileges on ${quoteName(db)}.* from public`
    : `delete from mysql.db where user = '' and host = ${quoteText(host)} and db = ${quoteText(db)}; flush privileges`

/** What MariaDB's PUBLIC may do everywhere or with single tables; none where there is no such role. */
async function publicRights(provisioner: Provisioner): Promise<string[]> {
  const everywhere = await provisioner
    .rows(
      "select 1 from mysql.global_priv where user = 'PUBLIC' and json_value(priv, '$.access') <> 0",
    )
    .catch(() => [])
  const tables = await provisioner
    .rows<{ db: string; name: string }>(
      "select db as db, table_name as name from mysql.tables_priv where user = 'PUBLIC'",
    )
    .catch(() => [])
  return [
    ...(everywhere.length > 0 ? ['*.*'] : []),
    ...tables.map(({ db, name }) => `${quoteName(db)}.${quoteName(name)}`),
  ]
}
