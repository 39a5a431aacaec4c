import { causeOf, type DriverFailure, type TlsCheck } from './driver-failure.js'

type Say<Args extends unknown[]> = (...args: Args) => string
type Entry<Args extends unknown[]> = {
  readonly status: number
  readonly exit: number
  /** For every caller. */
  readonly say: Say<Args>
  /** What an operator can do with `validonx`. The terminal prints it; API customers never see it. */
  readonly cliHint?: (...args: unknown[]) => string
}

const entry = <Args extends unknown[]>(row: Entry<Args>): Entry<Args> => row

/** The server leaves the login out of some errors. */
const named = (login: string | undefined): string => (login === undefined ? '' : ` ${login}`)

const OFF = 'or set VALIDONX_DATABASE_TLS=off on a network that you trust'

/** What failed in a TLS handshake, and what to do about it. */
const TLS_ADVICE: Readonly<Record<TlsCheck, (names: readonly string[]) => string>> = {
  'no tls': () => `the server offers none. Give it a certificate, ${OFF}.`,
  required: () => 'the server accepts nothing else. Set VALIDONX_DATABASE_TLS=verify.',
  name: (names) =>
    `its certificate is for ${names.join(', ') || 'no name'}, not for this address. Use a name of the certificate as host, or set VALIDONX_DATABASE_TLS=verify-ca to accept any name that its CA has signed.`,
  issuer: () =>
    `no trusted CA has signed its certificate. Set VALIDONX_DATABASE_CA to the certificate of its CA, ${OFF}.`,
  'self-signed': () =>
    `its certificate is self-signed. Set VALIDONX_DATABASE_CA to that certificate, ${OFF}.`,
  expired: () => 'its certificate, or that of its CA, has expired. Renew it on the server.',
  'not yet valid': () =>
    "its certificate, or that of its CA, isn't valid yet. Check the clocks of both machines.",
  'client certificate': () =>
    'the server refused our certificate. Check the CA and the dates of VALIDONX_DATABASE_CERT, and the CA that the server trusts.',
  other: () => 'the certificate or the TLS versions do not fit. The reason below names the cause.',
}

/**
 * Every way validonx says no. HTTP and the terminal read the same row, but only the terminal its `cliHint`;
 * `tests/core/errors.unit.test.ts` holds this table and docs/errors.md to each other.
 * `status` is the HTTP status, `exit` the process's exit status (sysexits.h).
 */
export const catalogue = {
  'USAGE.INVALID': entry({ status: 400, exit: 64, say: (sentence: string) => sentence }),
  'USAGE.CONFIRMATION_NEEDED': entry({
    status: 400,
    exit: 64,
    say: (question: string, flag: string) =>
      `${question} Nobody can confirm this here, because standard input is not a terminal. Pass ${flag}.`,
  }),
  'USAGE.INTERRUPTED': entry({
    status: 503,
    exit: 130,
    say: (what: string) => `${what} was interrupted. Run the command again to go on from there.`,
  }),

  'OUTPUT.NOT_WRITTEN': entry({
    status: 500,
    exit: 74,
    say: (reason: string) =>
      `The result could not be written to standard output: ${reason}. The command's changes are kept.`,
  }),
  'OUTPUT.SECRET_NOT_SHOWN': entry({
    status: 500,
    exit: 74,
    say: (what: string, reason: string) =>
      `The ${what} could not be written to standard output (${reason}), so it was revoked. Run the command again with a working standard output.`,
  }),

  'CONFIG.INVALID': entry({
    status: 500,
    exit: 78,
    say: (faults: readonly string[]) =>
      `The configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${faults.map((fault) => `  - ${fault}`).join('\n')}\n"validonx config" shows what is in force and where it comes from.`,
  }),
  'CONFIG.TLS_FILE': entry({
    status: 503,
    exit: 78,
    say: (path: string, fault: string) =>
      `The TLS file "${path}" can't be used: its setting ${fault}.`,
  }),
  'CONFIG.DATABASE_MISSING': entry({
    status: 500,
    exit: 78,
    say: () =>
      'No database is configured, and NODE_ENV=production never starts the embedded one. Set VALIDONX_DATABASE_URL (or VALIDONX_RUNTIME_URL for "serve").',
  }),
  'CONFIG.APP_KEY_MISSING': entry({
    status: 500,
    exit: 78,
    say: () =>
      'VALIDONX_APP_KEY is not set. Make one with "openssl rand -base64 32", keep it safe, and set it for every process of this platform.',
  }),
  'CONFIG.APP_KEY_CHANGED': entry({
    status: 500,
    exit: 78,
    say: (platform: string) =>
      `VALIDONX_APP_KEY is not the key that platform "${platform}" was made with. Set the original key, or list it in VALIDONX_APP_PREVIOUS_KEYS to rotate.`,
  }),
  'CONFIG.PROVISIONER_MISSING': entry({
    status: 500,
    exit: 78,
    say: (work: string) =>
      `${work} needs the provisioner's login, and only VALIDONX_RUNTIME_URL is set. Set VALIDONX_DATABASE_URL.`,
  }),
  'CONFIG.HOME_NOT_WRITABLE': entry({
    status: 500,
    exit: 73,
    say: (path: string) =>
      `"${path}" cannot be written. Give this user the right to, or set VALIDONX_HOME to a folder that can be.`,
  }),

  'CONFIG.HOME_NOT_PRIVATE': entry({
    status: 500,
    exit: 77,
    say: (path: string) =>
      `"${path}" must be a folder of this user that nobody else may enter. Remove it, or take the rights of others away ("chmod 700").`,
  }),

  'CONFIG.HOME_OF_ANOTHER': entry({
    status: 500,
    exit: 77,
    say: (path: string, owner: number, self: number) =>
      `The embedded platform in "${path}" belongs to the user with uid ${owner}, and this is uid ${self}. Run the command as that user, or choose another folder with --home.`,
  }),

  'DATABASE.UNREACHABLE': entry({
    status: 503,
    exit: 69,
    say: (server: string) =>
      `The database server at ${server} cannot be reached. Check that it runs and that this is its address ("validonx config" and "validonx server list" show the addresses in use).`,
  }),
  'DATABASE.ACCESS_DENIED': entry({
    status: 503,
    exit: 77,
    say: (login: string | undefined) =>
      `The database server refused the login${named(login)}. Check the user and the password, and whether the account needs TLS or a client certificate (VALIDONX_DATABASE_TLS, VALIDONX_DATABASE_CERT).`,
  }),
  'DATABASE.PRIVILEGES_MISSING': entry({
    status: 503,
    exit: 77,
    say: (login: string | undefined, missing: string | readonly string[]) =>
      typeof missing === 'string'
        ? `The login${named(login)} lacks privileges: ${missing}. Grant them and run the command again.`
        : `The login${named(login)} lacks privileges. As an administrator of the database server, run:\n${missing.map((grant) => `  ${grant};`).join('\n')}`,
  }),
  'DATABASE.TLS_REFUSED': entry({
    status: 503,
    exit: 69,
    say: (server: string, check: TlsCheck, names: readonly string[]) =>
      `No TLS connection to the database server at ${server}: ${TLS_ADVICE[check](names)}`,
  }),
  'DATABASE.VERSION_UNSUPPORTED': entry({
    status: 503,
    exit: 69,
    say: (version: string) =>
      `The database server is ${version}. validonx runs on MySQL 8.0 or newer and MariaDB 10.11 or newer.`,
  }),
  'DATABASE.UNSUITABLE': entry({
    status: 503,
    exit: 78,
    say: (server: string, failure: string | undefined, faults: readonly string[]) =>
      `The database server at ${server} cannot hold tenants as it is set up:\n${[...(failure === undefined ? [] : [`a rehearsal failed: ${failure}`]), ...faults].map((fault) => `  - ${fault}`).join('\n')}\nNothing was made there.`,
  }),
  'DATABASE.BUSY': entry({
    status: 503,
    exit: 75,
    say: () => 'All database connections are in use. Try again shortly.',
  }),
  'DATABASE.CONNECTION_LOST': entry({
    status: 503,
    exit: 75,
    say: () =>
      'The connection to the database was lost in the middle of the work. Run the command again to go on from there.',
  }),
  'DATABASE.FULL': entry({
    status: 503,
    exit: 75,
    say: () =>
      'The database server has no space left on its disk, in its quota, or in a tablespace. Free some and try again.',
  }),
  'DATABASE.READ_ONLY': entry({
    status: 503,
    exit: 75,
    say: () =>
      'The database server is read-only, so nothing can be written. Make it writable, or connect to the server that is (after a failover, the new primary).',
  }),
  'DATABASE.CONTENDED': entry({
    status: 503,
    exit: 75,
    say: () =>
      'The database server kept rolling the transaction back because of locks, conflicts or timeouts. Nothing was changed. Try again shortly.',
  }),
  'DATABASE.NOT_READY': entry({
    status: 503,
    exit: 75,
    say: () =>
      'The database server is not ready: it is offline, or not part of its cluster. Nothing was changed. Try again shortly.',
  }),
  'DATABASE.OUTCOME_UNKNOWN': entry({
    status: 503,
    exit: 75,
    say: () =>
      'The database server failed while it committed, so the change may or may not be stored. Check before you repeat it.',
  }),
  'DATABASE.OUT_OF_RESOURCES': entry({
    status: 503,
    exit: 75,
    say: () =>
      'The database server is out of memory, threads, open files or prepared statements. Its error log says which. Try again when it has more.',
  }),
  'DATABASE.TOO_LARGE': entry({
    status: 503,
    exit: 78,
    say: () =>
      "The work is larger than the database server's limits allow. Raise max_allowed_packet, max_binlog_cache_size, or the setting that the cause names.",
  }),
  'DATABASE.DAMAGED': entry({
    status: 503,
    exit: 69,
    say: () =>
      "A table or file of the database server is damaged or missing. Read the server's error log; repair it or restore a backup.",
  }),
  'DATABASE.REFUSED': entry({
    status: 503,
    exit: 69,
    say: (errno: number) =>
      `The database server's settings or state do not allow this (error ${errno}). "validonx doctor" examines its settings; its error log may say more.`,
  }),
  'DATABASE.ACCOUNT_LOCKED': entry({
    status: 503,
    exit: 77,
    say: (login: string | undefined) =>
      `The database account${named(login)} is locked. "validonx init" unlocks the runtime login, "validonx tenant health --all --fix" those of tenants; unlock others with ALTER USER … ACCOUNT UNLOCK.`,
  }),
  'DATABASE.PASSWORD_EXPIRED': entry({
    status: 503,
    exit: 77,
    say: (login: string | undefined) =>
      `The password of the database account${named(login)} has expired. "validonx init" renews the runtime login, "validonx tenant health --all --fix" those of tenants; for others use ALTER USER … PASSWORD EXPIRE NEVER.`,
  }),
  'DATABASE.PASSWORD_REFUSED': entry({
    status: 503,
    exit: 78,
    say: (login: string | undefined) =>
      `The database server's password policy refuses the password${login === undefined ? '' : ` for ${login}`}. Passwords are derived from the application key: relax the policy (validate_password, simple_password_check, cracklib_password_check, password_reuse_check) for this account.`,
  }),
  'DATABASE.HOST_REFUSED': entry({
    status: 503,
    exit: 77,
    say: () =>
      'The database server refuses connections from this host. Allow the host, or run FLUSH HOSTS there if too many attempts failed.',
  }),
  'DATABASE.AUTH_UNSUPPORTED': entry({
    status: 503,
    exit: 77,
    say: (login: string | undefined) =>
      `The database account${named(login)} uses an authentication method that the server and validonx do not share. Use caching_sha2_password (MySQL) or mysql_native_password (MariaDB).`,
  }),
  'REDIS.UNREACHABLE': entry({
    status: 503,
    exit: 69,
    say: () =>
      'Redis cannot be reached. Check that it runs, and the address in VALIDONX_REDIS_URL.',
  }),
  'DATABASE.BINARY_MISSING': entry({
    status: 500,
    exit: 69,
    say: () =>
      'No mariadbd or mysqld is installed, and no database is configured. Install MariaDB or MySQL (Debian: "apt-get install mariadb-server-core mariadb-client-core"), or set VALIDONX_DATABASE_URL.',
  }),
  'DATABASE.EMBEDDED_FAILED': entry({
    status: 500,
    exit: 70,
    say: (log: string) => `The embedded database server did not start. Its log is "${log}".`,
  }),

  'DATABASE.EMBEDDED_SILENT': entry({
    status: 503,
    exit: 75,
    say: (home: string, pid: number, log: string) =>
      `The embedded database server of "${home}" runs (process ${pid}) but doesn't answer. It is left running: try again when it has started, or end it with "validonx dev stop". Its log is "${log}".`,
  }),
  'DATABASE.EMBEDDED_CUT_OFF': entry({
    status: 503,
    exit: 69,
    say: (home: string, pid: number, socket: string) =>
      `The embedded database server of "${home}" runs (process ${pid}), but its socket "${socket}" is gone, so no new command can reach it. It is left running for those that are connected: end it with "validonx dev stop", and the next command starts it again.`,
  }),
  'DATABASE.EMBEDDED_ELSEWHERE': entry({
    status: 503,
    exit: 69,
    say: (home: string) =>
      `The data of the embedded database server in "${home}" is open in a process that can't be reached from here: in another container, or on another machine that shares this folder. Stop it there with "validonx dev stop", or choose another folder with --home.`,
  }),

  'PLATFORM.NONE_HERE': entry({
    status: 503,
    exit: 78,
    say: (home: string) =>
      `There is no platform here: no database is configured, and there is no embedded one in "${home}". Set VALIDONX_DATABASE_URL, go to the folder of your platform, or make one here with "validonx init".`,
  }),
  'PLATFORM.NOT_INITIALIZED': entry({
    status: 503,
    exit: 78,
    say: (platform: string) =>
      `There is no platform in database "${platform}" yet. Run "validonx init" first.`,
  }),
  'PLATFORM.OUTDATED': entry({
    status: 503,
    exit: 78,
    say: (platform: string) =>
      `Platform "${platform}" is not up to date with this version or with the application key. Run "validonx init".`,
  }),
  'PLATFORM.NAME_TAKEN': entry({
    status: 409,
    exit: 73,
    say: (database: string) =>
      `Database "${database}" exists and is not a ValidonX platform. Choose another name with VALIDONX_PLATFORM_DATABASE.`,
  }),

  'PLATFORM.LOGIN_TAKEN': entry({
    status: 409,
    exit: 73,
    say: (user: string) =>
      `The runtime login would be "${user}", which is the provisioner's own. Use another login in VALIDONX_DATABASE_URL, or another VALIDONX_PLATFORM_DATABASE.`,
  }),

  'LEASE.HELD': entry({
    status: 503,
    exit: 75,
    say: (what: string, who: string, seconds: number) =>
      `${who} is working on "${what}". Try again in ${seconds} s.`,
  }),
  'LEASE.LOST': entry({
    status: 503,
    exit: 75,
    say: (what: string) =>
      `Another process has taken over "${what}", so this one stopped. Run the command again to see where it stands.`,
  }),

  'MIGRATION.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: (name: string, newest: string) =>
      `No tenant migration is called "${name}". The newest is "${newest}".`,
  }),
  'MIGRATION.BLOCKED': entry({
    status: 503,
    exit: 75,
    say: (
      slug: string,
      migration: string,
      sessions: readonly string[],
      { areCertain, mayLook }: { readonly areCertain: boolean; readonly mayLook: boolean },
    ) =>
      [
        `"${migration}" is blocked by a lock in the database of "${slug}".`,
        sessions.length === 0
          ? mayLook
            ? 'The session that held it has ended, or the server does not show it.'
            : 'This login may not see who holds it: grant it PROCESS.'
          : areCertain
            ? `It is held by ${sessions.slice(0, 10).join('; ')}.`
            : `This server doesn't report lock holders. Possible holders: ${sessions.slice(0, 10).join('; ')}.`,
        'Wait for that session or end it, then run "validonx tenant migrate --retry-failed".',
      ].join(' '),
  }),
  'MIGRATION.KNEX_RUNNING': entry({
    status: 503,
    exit: 75,
    say: (slug: string, sessions: readonly string[], mayLook: boolean) =>
      [
        `The lock of Knex's own command is set in the database of "${slug}",`,
        sessions.length > 0
          ? `and ${sessions.join('; ')} is in it. Wait for that command or end it,`
          : mayLook
            ? 'and its process may still run. Wait for it or end it,'
            : 'and this login may not see whether its process still runs. Grant it PROCESS,',
        'then run "validonx tenant migrate --retry-failed".',
      ].join(' '),
  }),
  'MIGRATION.HALF_DONE': entry({
    status: 500,
    exit: 70,
    say: (
      slug: string,
      migration: string,
      odd: {
        readonly missing: readonly string[]
        readonly extra: readonly string[]
        readonly different: readonly string[]
      },
    ) => {
      const named = Object.entries(odd).flatMap(([how, objects]) =>
        objects.map((object) => `${how} ${object}`),
      )
      const more = named.length > 5 ? `; and ${named.length - 5} more` : ''
      return `The schema of "${slug}" is neither as before nor as after "${migration}": ${named.slice(0, 5).join('; ')}${more}. Bring it to one of the two by hand, then run "validonx tenant migrate --retry-failed".`
    },
  }),
  'MIGRATION.AHEAD': entry({
    status: 409,
    exit: 65,
    say: (slug: string, names: readonly string[]) =>
      `The database of "${slug}" has had migrations that this version does not know: ${names.join(', ')}. Use the newer version.`,
  }),
  'MIGRATION.NO_WAY_BACK': entry({
    status: 409,
    exit: 65,
    say: (slug: string, target: string) =>
      `"${slug}" is past "${target}" already. "validonx tenant migrate ${slug} --rollback --to ${target}" takes back what comes after it.`,
  }),
  'MIGRATION.LEDGER_MISSING': entry({
    status: 500,
    exit: 70,
    say: (slug: string, tables: readonly string[]) =>
      `The database of "${slug}" has no table ${tables.join(' and ')}, so its migration state is unknown. Restore that table from a backup.`,
  }),
  'MIGRATION.IRREVERSIBLE': entry({
    status: 409,
    exit: 65,
    say: (name: string) =>
      `"${name}" can't be taken back: it has no way back. Nothing was changed. Write a new migration that repairs it, or restore a backup.`,
  }),
  'MIGRATION.NOT_ON_TOP': entry({
    status: 409,
    exit: 65,
    say: (slug: string, name: string, above: readonly string[], before: string) =>
      `"${name}" can't be taken back in "${slug}" while it has ${above.map((each) => `"${each}"`).join(', ')} on top. To take back all of them, run "validonx tenant migrate ${slug} --rollback --to ${before}".`,
  }),
  'MIGRATION.ROLLBACK_CUT_OFF': entry({
    status: 409,
    exit: 65,
    say: (slug: string, names: readonly string[], before: string) =>
      `A rollback of ${names.map((name) => `"${name}"`).join(', ')} was cut off in "${slug}". Finish it first: "validonx tenant migrate ${slug} --rollback --to ${before}".`,
  }),
  'ROLLOUT.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: (id: string) => `There is no rollout "${id}". "validonx tenant rollouts" lists them.`,
  }),
  'ROLLOUT.NOTHING_TO_RESUME': entry({
    status: 404,
    exit: 66,
    say: () => 'There was no rollout yet. "validonx tenant migrate" starts one.',
  }),
  'ROLLOUT.IS_ROLLBACK': entry({
    status: 409,
    exit: 65,
    say: (id: string) =>
      `Rollout "${id}" is a rollback. "validonx tenant migrate" applies again what it took back.`,
  }),
  'ROLLOUT.NOT_RECORDED': entry({
    status: 409,
    exit: 65,
    say: (id: string) =>
      `Rollout "${id}" was run by an earlier version, which didn't record what it applied in which tenant. Name the migration to go back to: "validonx tenant migrate --rollback --to <migration>".`,
  }),
  'ROLLOUT.STEPS_TOO_MANY': entry({
    status: 422,
    exit: 65,
    say: (steps: number, count: number) =>
      `The fleet has ${count} migrations, so ${steps} steps back would leave none. Take back fewer.`,
  }),

  'SERVER.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: (name: string) => `No database server is registered as "${name}".`,
    cliHint: () => '"validonx server list" lists those that are.',
  }),
  'SERVER.NO_CAPACITY': entry({
    status: 503,
    exit: 69,
    say: () => 'No database server has capacity for another tenant.',
    cliHint: () =>
      '"validonx server list" shows the capacity of each; "validonx server add" registers another.',
  }),
  'SERVER.FOLLOWS_CONFIGURATION': entry({
    status: 409,
    exit: 65,
    say: (name: string) =>
      `"${name}" is the server of the platform database: its address and TLS are in the configuration. Change VALIDONX_DATABASE_TLS, _CA, _CERT or _KEY.`,
  }),
  'SERVER.EXISTS': entry({
    status: 409,
    exit: 73,
    say: (name: string) =>
      `A database server is registered as "${name}" already. Choose another name.`,
  }),

  'TENANT.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: (slug?: string) =>
      slug === undefined
        ? 'No such tenant. GET /v1/auth/me lists those that you belong to.'
        : `No tenant is called "${slug}".`,
    cliHint: () => '"validonx tenant list" lists all tenants.',
  }),
  'TENANT.DIFFERS': entry({
    status: 409,
    exit: 65,
    say: (slug: string, field: string, stands: string, given: string) =>
      `Tenant "${slug}" is registered with ${field} "${stands}", not "${given}". Leave the option out to go on with what is registered.`,
    cliHint: (slug, field, _stands, given) =>
      field === 'plan'
        ? `"validonx subscription change --tenant ${slug} --plan ${given}" changes the plan.`
        : field === 'owner'
          ? `"validonx member add ${given} --tenant ${slug} --role owner" adds an owner.`
          : `"validonx tenant show ${slug}" shows what is registered.`,
  }),
  'TENANT.INVALID_STATE': entry({
    status: 403,
    exit: 65,
    say: (slug: string, status: string) =>
      `Tenant "${slug}" is ${status}, so it can't be used now. Ask its operator why.`,
    cliHint: (slug) => `"validonx tenant show ${slug}" shows how far it is.`,
  }),
  'TENANT.STATUS.SUSPENDED': entry({
    status: 403,
    exit: 65,
    say: (slug: string) => `Tenant "${slug}" is suspended. Its operator can reinstate it.`,
    cliHint: (slug) => `"validonx tenant reinstate ${slug}" opens it again.`,
  }),
  'TENANT.EXPORT_BUSY': entry({
    status: 503,
    exit: 75,
    say: () => 'Too many exports are being made at the moment. Try again shortly.',
  }),
  'TENANT.DATABASE_NOT_OWNED': entry({
    status: 503,
    exit: 70,
    say: (slug: string) =>
      `The database of tenant "${slug}" does not carry the marker of this tenant, so nothing in it is used. Its operator has to repair it.`,
    cliHint: (slug) => `"validonx tenant health ${slug}" shows why.`,
  }),
  'TENANT.DATABASE_MISSING': entry({
    status: 503,
    exit: 70,
    say: (slug: string) =>
      `The database of tenant "${slug}" cannot be opened. Its operator has to repair it.`,
    cliHint: (slug) => `"validonx tenant health ${slug}" shows why.`,
  }),
  'TENANT.DATABASE_LOST': entry({
    status: 503,
    exit: 70,
    say: (slug: string) =>
      `Tenant "${slug}" is active, but its database isn't whole, and provisioning makes no empty one in its place. Nothing was changed.`,
    cliHint: (slug) =>
      `Restore it from a backup and check it with "validonx tenant health ${slug}". If it is lost for good, "validonx tenant archive ${slug}" takes the tenant out of the fleet.`,
  }),

  'PROVISIONING.STOPPED': entry({
    status: 500,
    exit: 70,
    say: (slug: string, stage: string) =>
      `Provisioning "${slug}" stopped at stage "${stage}". Run the command again to go on from there.`,
  }),
  'PROVISIONING.DATABASE_TAKEN': entry({
    status: 409,
    exit: 73,
    say: (database: string) =>
      `Database "${database}" exists and does not belong to this tenant. It is left as it is: move it away, or choose another slug.`,
  }),
  'PROVISIONING.GRANTS_WRONG': entry({
    status: 500,
    exit: 70,
    say: (user: string, found: string) =>
      `Database user "${user}" must hold no other rights than those that it was made for, but holds: ${found}. Revoke them and run the command again.`,
  }),

  'PLAN.NOT_FOUND': entry({
    status: 404,
    exit: 65,
    say: (code: string, known: readonly string[]) =>
      `No plan is called "${code}". Known plans: ${known.join(', ')}.`,
  }),
  'PLAN.BY_AGREEMENT': entry({
    status: 403,
    exit: 77,
    say: (code: string) =>
      `Plan "${code}" is agreed on with the operator of the platform. Ask them for it.`,
  }),
  'SUBSCRIPTION.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: () => 'This tenant has no running subscription. Its operator has to repair it.',
    cliHint: () => '"validonx tenant health" shows why.',
  }),
  'SUBSCRIPTION.LIMITS_EXCEEDED': entry({
    status: 409,
    exit: 65,
    say: (plan: string) =>
      `More is in use than plan "${plan}" allows. Use less, or accept that no more can be added.`,
  }),
  'INVOICE.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: (number: string) => `There is no invoice "${number}". Check its number.`,
    cliHint: () => '"validonx invoice list" lists all invoices.',
  }),
  'PRODUCT.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: (code?: string) =>
      code === undefined
        ? 'No such product in this tenant. Check its id.'
        : `No product is called "${code}" in this tenant. Create it first.`,
    cliHint: (code) =>
      code === undefined ? '' : 'With --create-product, "validonx license issue" creates it.',
  }),
  'PRODUCT.EXISTS': entry({
    status: 409,
    exit: 73,
    say: (code: string) => `A product is called "${code}" already. Choose another code.`,
  }),
  'PRODUCT.IN_USE': entry({
    status: 409,
    exit: 65,
    say: () => 'Licenses are for this product. Archive it instead, or move them first.',
  }),
  'PRODUCT.INVALID_STATE': entry({
    status: 409,
    exit: 65,
    say: (code: string) => `Product "${code}" is archived. Make it active again first.`,
  }),
  'LICENSE.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: () => 'No such license in this tenant. Check the license key.',
  }),
  'LICENSE.REVOKED': entry({
    status: 403,
    exit: 65,
    say: () => 'This license was revoked. Contact the vendor for another one.',
  }),
  'LICENSE.INVALID_STATE': entry({
    status: 409,
    exit: 65,
    say: (move: string, why: string) => `This license cannot ${move}: ${why}.`,
  }),
  'ACTIVATION.INVALID_STATE': entry({
    status: 409,
    exit: 65,
    say: (move: string, why: string) => `This activation cannot ${move}: ${why}.`,
  }),
  'ACTIVATION.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: () => 'No such activation in this tenant. Check its id.',
  }),
  'ACTIVATION.INVALID': entry({
    status: 422,
    exit: 65,
    say: (reason: string) => `This license cannot be activated: ${reason}.`,
  }),
  'ACTIVATION.LIMIT_EXCEEDED': entry({
    status: 403,
    exit: 65,
    say: (limit: number) =>
      `All ${limit} seats of this license are taken. Revoke an activation, or raise "activations.max" of the license.`,
  }),
  'ENTITLEMENTS.MISSING': entry({
    status: 403,
    exit: 65,
    say: (code: string) => `This license has no entitlement "${code}".`,
  }),
  'ENTITLEMENTS.UNKNOWN': entry({
    status: 422,
    exit: 65,
    say: (code: string, similar: string | undefined) =>
      `No plan has an entitlement "${code}".${similar === undefined ? '' : ` Did you mean "${similar}"?`}`,
    cliHint: () => '--new grants a code that no plan has. "validonx plan list" lists the plans.',
  }),
  'ENTITLEMENTS.LIMIT_EXCEEDED': entry({
    status: 403,
    exit: 65,
    say: (code: string, limit: number) =>
      `No more than ${limit} of "${code}" are allowed. Use less, or ask the operator of the platform for more.`,
    cliHint: (code) =>
      `"validonx subscription override ${code}=<limit> --tenant <slug>" raises the limit, "validonx subscription change" the plan.`,
  }),

  'WEBHOOK.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: () => 'No such webhook endpoint in this tenant. Check its id.',
  }),
  'WEBHOOK.SECRETS_EXCEEDED': entry({
    status: 409,
    exit: 65,
    say: (most: number, until: string) =>
      `${most} earlier secrets of this webhook endpoint still sign. Rotate again after ${until}, or with grace_seconds 0, which ends them all.`,
  }),
  'WEBHOOK.INVALID_STATE': entry({
    status: 409,
    exit: 65,
    say: (status: string) => `This webhook endpoint is ${status} already.`,
  }),

  'AUTH.INVALID_API_KEY': entry({
    status: 401,
    exit: 77,
    say: () => 'The X-API-Key header does not hold a valid API key.',
  }),
  'AUTH.API_KEY_REVOKED': entry({
    status: 401,
    exit: 77,
    say: () => 'This API key was revoked. Use the key that replaced it.',
  }),

  'AUTH.TOKEN.INVALID_SCOPE': entry({
    status: 403,
    exit: 77,
    say: (scope: string) => `This key or token was not made for "${scope}". Use one that was.`,
  }),
  'AUTH.TOKEN.REQUIRED': entry({
    status: 401,
    exit: 77,
    say: () => 'Send a token in the Authorization header, as "Bearer" and the token.',
  }),
  'AUTH.UNAUTHENTICATED': entry({
    status: 401,
    exit: 77,
    say: () => 'This token opens nothing. Log in again, or ask for a new one.',
  }),
  'AUTH.INVALID_CREDENTIALS': entry({
    status: 401,
    exit: 77,
    say: () => 'The e-mail address or the password is wrong.',
  }),
  'AUTH.ACCOUNT_LOCKED': entry({
    status: 429,
    exit: 75,
    say: (seconds: number) => `Too many attempts to log in. Try again in ${seconds} s.`,
  }),
  'AUTH.FORBIDDEN': entry({
    status: 403,
    exit: 77,
    say: () => 'This user belongs to no tenant. Ask an owner for an invitation.',
  }),
  'AUTH.INSUFFICIENT_PERMISSIONS': entry({
    status: 403,
    exit: 77,
    say: (role: string) => `The role "${role}" does not allow this. Ask an owner of the tenant.`,
  }),
  'USER.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: (email: string) => `No user has the address "${email}".`,
    cliHint: () => '"validonx user list" lists all users.',
  }),
  'USER.EXISTS': entry({
    status: 409,
    exit: 73,
    say: (email: string) => `A user has the address "${email}" already.`,
  }),
  'USER.DISABLED': entry({
    status: 409,
    exit: 65,
    say: (email: string) => `User "${email}" is disabled.`,
    cliHint: (email) => `"validonx user enable ${email}" lets them log in again.`,
  }),
  'USER.UNVERIFIED': entry({
    status: 409,
    exit: 65,
    say: (email: string) =>
      `User "${email}" joined by invitation and has not verified this address.`,
    cliHint: (email) =>
      `Give them a password with "validonx user password ${email}", or add --unverified.`,
  }),
  'TOKEN.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: (id: string) => `There is no token ${id}.`,
    cliHint: () => '"validonx token list" lists the tokens of a user.',
  }),
  'MEMBER.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: () => 'No such member in this tenant. Its list of members shows who there is.',
  }),
  'MEMBER.EXISTS': entry({
    status: 409,
    exit: 73,
    say: () => 'This user is a member of the tenant already. Change the role instead.',
  }),
  'MEMBER.LAST_OWNER': entry({
    status: 409,
    exit: 65,
    say: () => 'A tenant keeps one owner. Make somebody else an owner first.',
  }),
  'INVITATION.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: () => 'No such invitation, or it has ended. Ask for a new one.',
  }),
  'INVITATION.EXISTS': entry({
    status: 409,
    exit: 73,
    say: (email: string) => `"${email}" is invited already. Revoke that invitation first.`,
  }),
  'API_KEY.NOT_FOUND': entry({
    status: 404,
    exit: 66,
    say: (key: string, slug: string) => `Tenant "${slug}" has no live API key "${key}".`,
    cliHint: (_key, slug) => `"validonx apikey list --tenant ${slug}" lists its keys.`,
  }),
  'API_KEY.NONE_SHOWN': entry({
    status: 409,
    exit: 66,
    say: (slug: string) => `Tenant "${slug}" has no live API key to rotate. Create one.`,
    cliHint: (slug) => `"validonx apikey create --tenant ${slug}" creates one.`,
  }),
  'API_KEY.REVOKED_WHILE_SHOWN': entry({
    status: 409,
    exit: 75,
    say: (prefix: string) =>
      `API key ${prefix} was revoked while it was being shown. Don't use it: run the command again for another.`,
  }),
  'API_KEY.INVALID_STATE': entry({
    status: 409,
    exit: 65,
    say: (prefix: string) => `API key ${prefix} has ended already.`,
  }),
  'API_KEY.AMBIGUOUS': entry({
    status: 409,
    exit: 64,
    say: (slug: string, prefixes: readonly string[]) =>
      `Tenant "${slug}" has several live API keys: ${prefixes.join(', ')}. Name one of them.`,
    cliHint: () => 'Use --key to name it.',
  }),
  'KEYRING.IN_USE': entry({
    status: 409,
    exit: 65,
    say: (keyId: string, what: string) =>
      `Application key ${keyId} is still needed by ${what}. "validonx keyring status" lists them by tenant.`,
  }),
  'KEYRING.UNKNOWN': entry({
    status: 404,
    exit: 66,
    say: (keyId: string) =>
      `No previous application key has the id "${keyId}". "validonx keyring status" shows the ids.`,
  }),

  'AUDIT.ANCHOR_INVALID': entry({
    status: 422,
    exit: 65,
    say: (why: string) => `This is no anchor of the trail: ${why}.`,
  }),
  'AUDIT.BROKEN': entry({
    status: 500,
    exit: 1,
    say: (sequence: number, what: string, why: string) =>
      `The trail does not hold: row ${sequence} is ${what}: ${why}.`,
  }),

  'RATE_LIMIT.EXCEEDED': entry({
    status: 429,
    exit: 75,
    say: (seconds: number) => `Too many requests. Try again in ${seconds} s.`,
  }),

  'VALIDATION.IDEMPOTENCY_MISMATCH': entry({
    status: 422,
    exit: 65,
    say: () => 'This idempotency key was used before, for another request. Use a new one.',
  }),
  'VALIDATION.IDEMPOTENCY_IN_PROGRESS': entry({
    status: 409,
    exit: 75,
    say: () => 'A request with this idempotency key is being worked on. Send it again shortly.',
  }),
  'VALIDATION.FAILED': entry({
    status: 422,
    exit: 65,
    say: () => 'Some fields need another value.',
  }),
  'VALIDATION.MALFORMED_JSON': entry({
    status: 400,
    exit: 65,
    say: () => 'The request body is not valid JSON.',
  }),
  'REQUEST.MALFORMED': entry({
    status: 400,
    exit: 65,
    say: () => 'The request is not well-formed HTTP.',
  }),
  'REQUEST.TIMEOUT': entry({
    status: 408,
    exit: 75,
    say: () => 'The request did not arrive in time.',
  }),
  'REQUEST.HEADERS_TOO_LARGE': entry({
    status: 431,
    exit: 65,
    say: () => 'The request headers are too large.',
  }),
  'REQUEST.TOO_LARGE': entry({
    status: 413,
    exit: 65,
    say: (limit: number) => `The request body is larger than ${limit} bytes.`,
  }),
  'REQUEST.UNSUPPORTED_MEDIA_TYPE': entry({
    status: 415,
    exit: 65,
    say: () => 'Send the request body as application/json in UTF-8, not compressed.',
  }),
  'REQUEST.DUPLICATE_HEADER': entry({
    status: 400,
    exit: 65,
    say: (header: string) => `The header ${header} was sent more than once. Send it once.`,
  }),
  'REQUEST.PRECONDITION_FAILED': entry({
    status: 412,
    exit: 75,
    say: () => 'Somebody else has changed this since you read it. Read it again, then decide.',
  }),
  'REQUEST.METHOD_NOT_ALLOWED': entry({
    status: 405,
    exit: 64,
    say: (method: string, allowed: readonly string[]) =>
      `${method} is not allowed here. Allowed: ${allowed.join(', ')}.`,
  }),
  'ROUTE.NOT_FOUND': entry({
    status: 404,
    exit: 64,
    say: () => 'There is nothing at this path.',
  }),
  'SERVER.ADDRESS_IN_USE': entry({
    status: 500,
    exit: 69,
    say: (address: string) =>
      `${address} is in use by another process. Choose another port with --port or VALIDONX_PORT.`,
  }),
  'SERVER.ADDRESS_FORBIDDEN': entry({
    status: 500,
    exit: 77,
    say: (address: string) =>
      `This user may not listen on ${address}. Choose a port above 1023 with --port or VALIDONX_PORT, or allow it.`,
  }),
  'SERVER.ADDRESS_FOREIGN': entry({
    status: 500,
    exit: 78,
    say: (address: string) =>
      `${address} is not an address of this machine. Set --host or VALIDONX_HOST to one that is, or to 0.0.0.0 for all.`,
  }),
  'SERVER.ADDRESS_UNKNOWN': entry({
    status: 500,
    exit: 78,
    say: (host: string) =>
      `The host name "${host}" is unknown. Set --host or VALIDONX_HOST to an address of this machine.`,
  }),
  'SERVER.NOT_LISTENING': entry({
    status: 500,
    exit: 69,
    say: (address: string) => `The server cannot listen on ${address}.`,
  }),
  'SERVER.SHUTTING_DOWN': entry({
    status: 503,
    exit: 75,
    say: () => 'This server is shutting down. Send the request again.',
  }),
  'SERVER.UNAVAILABLE': entry({
    status: 503,
    exit: 75,
    say: () => 'This service cannot answer right now. Try again shortly.',
  }),
  'SERVER.INTERNAL': entry({
    status: 500,
    exit: 70,
    say: () => 'Something went wrong on our side.',
  }),
} as const

export type ErrorCode = keyof typeof catalogue
type ArgsOf<Code extends ErrorCode> = Parameters<(typeof catalogue)[Code]['say']>

/** What a machine may read beside the sentence: the envelope's `details`, the terminal's `--json`. */
export type ErrorDetails = Readonly<Record<string, unknown>>

/**
 * The one error class. Readers switch on `code`; `status` and `exit` come from the catalogue.
 * `cause` is for the operator's terminal and log, never for an HTTP answer.
 */
export class AppError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'AppError'
  readonly code: Code
  /** What to do at the terminal; never sent over HTTP. */
  readonly cliHint: string | undefined
  details: ErrorDetails = {}

  constructor(code: Code, ...args: ArgsOf<Code>) {
    const { say, cliHint } = catalogue[code] as Entry<unknown[]>
    super(say(...args))
    this.code = code
    this.cliHint = cliHint?.(...args) || undefined
  }

  get status(): number {
    return catalogue[this.code].status
  }

  get exit(): number {
    return catalogue[this.code].exit
  }

  /** The envelope's `type`: the code's domain in lower case. */
  get domain(): string {
    return (this.code.split('.')[0] ?? '').toLowerCase()
  }

  because(cause: unknown): this {
    this.cause = cause
    return this
  }

  with(details: ErrorDetails): this {
    this.details = details
    return this
  }
}

/**
 * Whatever was thrown, as a row of the catalogue. Driver errors become the `DATABASE.…` row of
 * their kind; what nobody foresaw becomes `SERVER.INTERNAL` with the thrown value as its cause.
 */
export function asAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown
  const failure = causeOf(thrown)
  return failure
    ? asDatabaseError(failure).because(thrown)
    : new AppError('SERVER.INTERNAL').because(thrown)
}

export const tlsRefused = (server: string, { tls }: DriverFailure): AppError =>
  new AppError('DATABASE.TLS_REFUSED', server, tls?.check ?? 'other', tls?.names ?? [])

function asDatabaseError(failure: DriverFailure): AppError {
  const { kind, errno, where, login, sentence } = failure
  switch (kind) {
    case 'unreachable':
      return new AppError('DATABASE.UNREACHABLE', where)
    case 'access denied':
      return new AppError('DATABASE.ACCESS_DENIED', login)
    case 'account locked':
      return new AppError('DATABASE.ACCOUNT_LOCKED', login)
    case 'password expired':
      return new AppError('DATABASE.PASSWORD_EXPIRED', login)
    case 'password refused':
      return new AppError('DATABASE.PASSWORD_REFUSED', login)
    case 'host refused':
      return new AppError('DATABASE.HOST_REFUSED')
    case 'authentication unsupported':
      return new AppError('DATABASE.AUTH_UNSUPPORTED', login)
    case 'privilege missing':
      return new AppError('DATABASE.PRIVILEGES_MISSING', login, sentence)
    case 'tls':
      return tlsRefused(where, failure)
    case 'too many connections':
      return new AppError('DATABASE.BUSY')
    case 'not ready':
      return new AppError('DATABASE.NOT_READY')
    case 'transaction rolled back':
    case 'statement rolled back':
      return new AppError('DATABASE.CONTENDED')
    case 'connection lost':
      return new AppError('DATABASE.CONNECTION_LOST')
    case 'outcome unknown':
      return new AppError('DATABASE.OUTCOME_UNKNOWN')
    case 'read only':
      return new AppError('DATABASE.READ_ONLY')
    case 'disk full':
      return new AppError('DATABASE.FULL')
    case 'out of resources':
      return new AppError('DATABASE.OUT_OF_RESOURCES')
    case 'too large':
      return new AppError('DATABASE.TOO_LARGE')
    case 'damaged':
      return new AppError('DATABASE.DAMAGED')
    case 'refused':
      return new AppError('DATABASE.REFUSED', errno ?? 0)
    case 'incomparable':
      return new AppError('VALIDATION.FAILED').with({
        value: ['has characters that no id, key or code here is written with: use plain ASCII'],
      })
    case 'already there':
    case 'duplicate':
    case 'referenced':
    case 'missing':
    case 'other':
      return new AppError('SERVER.INTERNAL')
  }
}
