/** A quoted identifier. Knex's `??` splits at dots and at " as ", so it is no guard for names. */
export const quoteName = (name: string): string => `\`${name.replaceAll('`', '``')}\``

/** A quoted string literal, for the statements that take no bound values (users, grants). */
export const quoteText = (text: string): string =>
  `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`

/** `'user'@'host'`. */
export const quoteUser = (user: string, host: string): string =>
  `${quoteText(user)}@${quoteText(host)}`

/**
 * A database's name as GRANT wants it. There `_` and `%` are wildcards: left as they are,
 * `vx_tenant_a` would open `vx_tenantXa` too.
 */
export const quoteGrantDatabase = (database: string): string =>
  quoteName(database.replaceAll(/[\\_%]/g, (character) => `\\${character}`))
