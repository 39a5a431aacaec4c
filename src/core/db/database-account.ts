import type { Connection } from 'mysql2'
import { isFailure } from '../driver-failure.js'
import type { Provisioner } from './provisioner.js'
import { quoteText, quoteUser } from './sql.js'
import { runOn } from './statements.js'

/** Server properties that determine the syntax of account and grant statements. */
export type ServerTraits = {
  readonly isMariaDb: boolean
  /** MySQL with `partial_revokes=ON`: there `_` and `%` in a grant's database name are plain characters. */
  readonly hasPartialRevokes: boolean
  /** Days after which a password expires unless its account says otherwise; 0 for never. */
  readonly passwordLifetime: number
}

type Variable = { readonly Variable_name: string; readonly Value: string }

/** Needs no privilege. Unknown variables are missing from the result. */
const TRAITS_SQL =
  "show global variables where variable_name in ('version', 'partial_revokes', 'default_password_lifetime')"

export const readTraits = async (provisioner: Provisioner): Promise<ServerTraits> =>
  toTraits(await provisioner.rows<Variable>(TRAITS_SQL))

export const readTraitsOn = async (connection: Connection): Promise<ServerTraits> =>
  toTraits((await runOn(connection, TRAITS_SQL)) as unknown as Variable[])

function toTraits(variables: readonly Variable[]): ServerTraits {
  const values = new Map(variables.map(({ Variable_name, Value }) => [Variable_name, Value]))
  return {
    isMariaDb: /mariadb/i.test(values.get('version') ?? ''),
    hasPartialRevokes: values.get('partial_revokes') === 'ON',
    passwordLifetime: Number(values.get('default_password_lifetime') ?? 0),
  }
}

export type Account = {
  readonly user: string
  readonly host: string
  readonly password: string
}

/**
 * Makes the account if it is missing. In any case exempts it from the server's policies for passwords
 * that expire or may not be used again, and unlocks it. Leaves an existing password alone: setting one
 * is counted by those policies, see `passwordSql`.
 */
export function accountSql(traits: ServerTraits, { user, host, password }: Account): string {
  const account = quoteUser(user, host)
  const exempt = policyOf(traits)
  return [
    ...prelude(traits),
    `create user if not exists ${account} ${identifiedBy(traits, password)} ${exempt}`,
    `alter user ${account} ${exempt}`,
  ].join('; ')
}

/** Sets the password: for an account that refuses the login that it should take. */
export const passwordSql = (traits: ServerTraits, { user, host, password }: Account): string =>
  [
    ...prelude(traits),
    `alter user ${quoteUser(user, host)} ${identifiedBy(traits, password)}`,
  ].join('; ')

/** Whether a login failed in a way that resetting its password can fix. */
export const isLoginRefused = (thrown: unknown): boolean =>
  isFailure(
    thrown,
    'access denied',
    'account locked',
    'password expired',
    'authentication unsupported',
  )

/** MariaDB would make an account that current clients can't use if `old_passwords` were on. */
const prelude = ({ isMariaDb }: ServerTraits): string[] =>
  isMariaDb ? ['set session old_passwords = 0'] : []

/** MySQL's default may be a method that the driver or a later version lacks. */
const identifiedBy = ({ isMariaDb }: ServerTraits, password: string): string =>
  isMariaDb
    ? `identified by ${quoteText(password)}`
    : `identified with caching_sha2_password by ${quoteText(password)}`

const policyOf = ({ isMariaDb }: ServerTraits): string =>
  isMariaDb
    ? 'account unlock password expire never'
    : 'password expire never password history 0 password reuse interval 0 day account unlock'
