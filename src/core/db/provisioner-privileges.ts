import { AppError } from '../errors.js'
import type { Provisioner } from './provisioner.js'

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

/**
 * Refuses a login that would get stuck half-way.
 *
 * @param databases names of databases, as samples of those that it will make
 * @throws DATABASE.PRIVILEGES_MISSING naming each missing privilege and where
 */
export async function assertProvisionerPrivileges(
  provisioner: Provisioner,
  databases: readonly string[],
): Promise<void> {
  const grants = (await readOwnGrants(provisioner))
    .map(readGrant)
    .filter((grant) => grant !== undefined)
  const holds = (privilege: string, database?: string): boolean =>
    grants.some(({ privileges, pattern }) => {
      const here = pattern === '*' || (database !== undefined && matches(pattern, database))
      return (
        here &&
        (privileges.has(privilege) ||
          (privileges.has('ALL PRIVILEGES') && privilege !== 'GRANT OPTION'))
      )
    })
  const missing = [
    ...(holds('CREATE USER') ? [] : ['CREATE USER ON *.*']),
    ...databases.flatMap((database) =>
      [...ON_DATABASES, 'GRANT OPTION']
        .filter((privilege) => !holds(privilege, database))
        .map((privilege) => `${privilege} ON \`${database}\``),
    ),
  ]
  if (missing.length > 0) {
    throw new AppError(
      'DATABASE.PRIVILEGES_MISSING',
      `"${provisioner.reach.login.user}"`,
      missing.join(', '),
    ).with({ missing })
  }
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
