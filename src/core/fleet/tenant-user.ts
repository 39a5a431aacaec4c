import { quoteGrantDatabase, quoteText, quoteUser } from '../db/sql.js'

/** The one grant that a tenant's database user has. */
export const tenantGrantSql = (database: string, user: string, host: string): string =>
  `grant select, insert, update, delete on ${quoteGrantDatabase(database)}.* to ${quoteUser(user, host)}`

/** Makes the user where it is missing, with this password in any case, and with its grant. */
export const tenantUserSql = (
  database: string,
  user: string,
  host: string,
  password: string,
): string => {
  const account = quoteUser(user, host)
  return [
    `create user if not exists ${account} identified by ${quoteText(password)}`,
    // one left by an attempt under another key has another password
    `alter user ${account} identified by ${quoteText(password)}`,
    tenantGrantSql(database, user, host),
  ].join('; ')
}

/** What the grants say beyond the tenant's own database, or the lack of it; undefined where they are exactly right. */
export function findStray(grants: readonly string[], database: string): string | undefined {
  const own = `GRANT SELECT, INSERT, UPDATE, DELETE ON ${quoteGrantDatabase(database)}.* TO `
  const strays = grants.filter(
    (grant) =>
      !grant.startsWith('GRANT USAGE ON *.* TO ') &&
      !(grant.startsWith(own) && !/ WITH GRANT OPTION/.test(grant)),
  )
  if (strays.length > 0) return strays.join('; ').replaceAll(/ IDENTIFIED .*?(?=;|$)/g, '')
  return grants.some((grant) => grant.startsWith(own)) ? undefined : 'nothing'
}
