import { AppError } from '../errors.js'
import { readTraits } from './database-account.js'
import type { Provisioner } from './provisioner.js'
import { quoteName, quoteUser } from './sql.js'

/** What the provisioner does with platform and tenant databases. */
const ON_DATABASES = [
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'CREATE',
  'DROP',
  'ALTER',
  'INDEX',
  'REFERENCES',
] as const

/** Which databases the provisioner will make. */
export type Estate = { readonly platformDatabase?: string; readonly tenantPrefix: string }

type Needed = {
  /** As GRANT wants it. */
  readonly on: string
  /** A name of such a database. */
  readonly sample: string
}

/**
 * Refuses a login that would get stuck half-way.
 *
 * @throws DATABASE.PRIVILEGES_MISSING with the GRANT statements to run
 */
export async function assertProvisionerPrivileges(
  provisioner: Provisioner,
  { platformDatabase, tenantPrefix }: Estate,
): Promise<void> {
  const { hasPartialRevokes } = await readTraits(provisioner)
  const grants = (await readOwnGrants(provisioner))
    .map(readGrant)
    .filter((grant) => grant !== undefined)
  const holds = (privilege: string, database?: string): boolean =>
    grants.some(({ privileges, pattern }) => {
      const here =
        pattern === '*' ||
        (database !== undefined &&
          (hasPartialRevokes ? pattern === database : matches(pattern, database)))
      return (
        here &&
        (privileges.has(privilege) ||
          (privileges.has('ALL PRIVILEGES') && privilege !== 'GRANT OPTION'))
      )
    })
  const escaped = (name: string) => name.replaceAll(/[\\_%]/g, (character) => `\\${character}`)
  const needed: Needed[] = [
    ...(platformDatabase === undefined
      ? []
      : [{ on: quoteName(escaped(platformDatabase)), sample: platformDatabase }]),
    { on: quoteName(`${escaped(tenantPrefix)}%`), sample: `${tenantPrefix}sample` },
  ]
  const lacking = needed
    .map(({ on, sample }) => ({
      // with partial revokes a pattern is a plain name, so only a global grant covers all tenants
      on: hasPartialRevokes ? '*' : on,
      missing: [...ON_DATABASES, 'GRANT OPTION'].filter((privilege) => !holds(privilege, sample)),
    }))
    .filter(({ missing }) => missing.length > 0)
  if (holds('CREATE USER') && lacking.length === 0) return
  const account = await readOwnAccount(provisioner)
  const statements = [
    ...(holds('CREATE USER') ? [] : [`GRANT CREATE USER ON *.* TO ${account}`]),
    ...lacking.map(
      ({ on }) => `GRANT ${ON_DATABASES.join(', ')} ON ${on}.* TO ${account} WITH GRANT OPTION`,
    ),
  ].filter((statement, index, all) => all.indexOf(statement) === index)
  throw new AppError(
    'DATABASE.PRIVILEGES_MISSING',
    `"${provisioner.reach.login.user}"`,
    statements,
  ).with({ missing: statements })
}

/** The account that the server took the login for, quoted for GRANT. */
async function readOwnAccount(provisioner: Provisioner): Promise<string> {
  const [row] = await provisioner.rows<{ account: string }>('select current_user() as account')
  const account = row?.account ?? ''
  const at = account.lastIndexOf('@')
  return quoteUser(account.slice(0, at), account.slice(at + 1))
}

/** With what the login holds by its roles, where the server tells that only when asked. */
async function readOwnGrants(provisioner: Provisioner): Promise<string[]> {
  const texts = async (sql: string) =>
    (await provisioner.rows<Record<string, string>>(sql)).flatMap((row) => Object.values(row))
  const own = await texts('show grants for current_user()')
  const roles = own.flatMap(
    (text) => /^GRANT ((?:`[^`]+`@`[^`]+`(?:, ?)?)+) TO /.exec(text)?.[1] ?? [],
  )
  if (roles.length === 0) return own
  const byRoles = await texts(`show grants for current_user() using ${roles.join(', ')}`).catch(
    () => [],
  )
  return [...own, ...byRoles]
}

type Grant = { readonly privileges: ReadonlySet<string>; readonly pattern: string }

/** `GRANT … ON `pattern`.* TO … [WITH GRANT OPTION]`; grants on single tables and roles say nothing to us. */
export function readGrant(text: string): Grant | undefined {
  const form =
    /^GRANT (?<list>.+?) ON (?:(?<all>\*)|`(?<name>(?:[^`]|``)+)`)\.\* TO .*?(?<option> WITH GRANT OPTION)?$/s.exec(
      text,
    )
  if (!form?.groups) return undefined
  const { list = '', all, name = '', option } = form.groups
  const privileges = new Set(list.split(',').map((privilege) => privilege.trim().toUpperCase()))
  if (option || / WITH .*GRANT OPTION/.test(text)) privileges.add('GRANT OPTION')
  return { privileges, pattern: all ? '*' : name.replaceAll('``', '`') }
}

/** GRANT's patterns: `_` one character, `%` any, `\` takes the meaning away. */
function matches(pattern: string, database: string): boolean {
  const form = pattern.replaceAll(/\\(.)|([_%])|([^\\_%]+)/g, (_, escaped, wildcard, plain) => {
    if (wildcard) return wildcard === '_' ? '.' : '.*'
    return (escaped ?? plain).replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${form}$`).test(database)
}
