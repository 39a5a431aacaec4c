import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { z } from 'zod'
import { isAddressRange } from './address-range.js'
import { isOurs, parseEnvFile, readTextFile } from './env-file.js'
import { AppError } from './errors.js'
import { LOG_LEVELS } from './log.js'
import { faultsOfDatabaseUrl, faultsOfRedisUrl } from './service-url.js'
import { faultIn, isPair, type Pem, readCertificates, readKey } from './tls-files.js'

/** Plain decimal digits: "0x10", "1e3" and "5.0" are more often a slip than meant. */
const number = (form: RegExp, fault: string, min: number, max: number) =>
  z
    .string(fault)
    .regex(form, fault)
    .transform(Number)
    .pipe(z.number().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`))

const wholeNumber = (min: number, max: number) =>
  number(/^\d+$/, `must be a whole number from ${min} to ${max}, in digits`, min, max)

/** The algorithms that Laravel has a driver for. */
export const PASSWORD_HASHES = ['bcrypt', 'argon2i', 'argon2id'] as const

const seconds = (fallback: number, min: number, max: number) =>
  number(
    /^\d+(\.\d+)?$/,
    `must be a number of seconds from ${min} to ${max}, in digits`,
    min,
    max,
  ).default(fallback)

const count = (fallback: number, min: number, max: number) =>
  wholeNumber(min, max).default(fallback)

const url = (faultsOf: (text: string) => string[]) =>
  z.string().superRefine((text, check) => {
    for (const message of faultsOf(text)) check.addIssue({ code: 'custom', message })
  })

const pemFile = (read: (path: string) => Pem) =>
  z.string().superRefine((path, check) => {
    const message = faultIn(read(path))
    if (message) check.addIssue({ code: 'custom', message })
  })

const databaseUrl = url(faultsOfDatabaseUrl).optional()

/** 32 random bytes in base64: 43 characters and one `=`, or base64url without it. */
const appKey = z
  .string()
  .refine(isAppKey, 'must be 32 bytes in base64 ("openssl rand -base64 32" makes one)')

/** A database name that can be quoted, granted and prefixed without a surprise. */
const databaseName = (max: number) =>
  z
    .string()
    .regex(/^[a-z][a-z0-9_]*$/, 'must be lower-case letters, digits and "_", a letter first')
    .max(max, `must be at most ${max} characters`)
    .refine(
      (name) => !/^test(_|$)/.test(name),
      'must not be "test" or begin with "test_": MariaDB opens those to every user',
    )

type Setting = {
  readonly variable: string
  readonly about: string
  readonly schema: z.ZodType
  readonly secret?: true
  /** The command-line option that sets it, where there is one. Secrets have none: argv is public. */
  readonly flag?: string
}

/** Every setting there is. `validonx config`, docs/configuration.md and the parser read this one table. */
export const settings = {
  databaseUrl: {
    variable: 'VALIDONX_DATABASE_URL',
    about: "The provisioner's login on the server that holds the platform database",
    schema: databaseUrl,
    secret: true,
  },
  runtimeUrl: {
    variable: 'VALIDONX_RUNTIME_URL',
    about: 'The runtime login, all that "serve" needs; "init" makes it',
    schema: databaseUrl,
    secret: true,
  },
  databaseTls: {
    variable: 'VALIDONX_DATABASE_TLS',
    about:
      '"verify" (CA and name), "verify-ca" (CA alone) or "off"; by default verify, but off for this machine without a CA',
    schema: z
      .enum(['verify', 'verify-ca', 'off'], 'must be "verify", "verify-ca" or "off"')
      .optional(),
  },
  databaseCa: {
    variable: 'VALIDONX_DATABASE_CA',
    about:
      'File with the CA certificates of the database servers (PEM); by default those of Node.js are trusted',
    schema: pemFile(readCertificates).optional(),
  },
  databaseCert: {
    variable: 'VALIDONX_DATABASE_CERT',
    about: 'File with the certificate that validonx shows to database servers (PEM)',
    schema: pemFile(readCertificates).optional(),
  },
  databaseKey: {
    variable: 'VALIDONX_DATABASE_KEY',
    about: 'File with the private key of that certificate (PEM, without a passphrase)',
    schema: pemFile(readKey).optional(),
  },
  platformDatabase: {
    variable: 'VALIDONX_PLATFORM_DATABASE',
    about: 'Name of the platform database',
    schema: databaseName(64).default('validonx_platform'),
    flag: '--platform-database',
  },
  tenantPrefix: {
    variable: 'VALIDONX_TENANT_PREFIX',
    about: 'What the names of tenant databases begin with',
    schema: databaseName(24).default('vx_tenant_'),
    flag: '--tenant-prefix',
  },
  tenantUserHost: {
    variable: 'VALIDONX_TENANT_USER_HOST',
    about: "Host part of the database users that validonx makes ('user'@'host')",
    schema: z
      .string()
      .regex(/^[A-Za-z0-9.%:_/-]{1,60}$/, 'must be a host pattern such as % or 10.0.%')
      .default('%'),
  },
  appKey: {
    variable: 'VALIDONX_APP_KEY',
    about: 'The application key: 32 bytes in base64; all other secrets derive from it',
    schema: appKey.optional(),
    secret: true,
  },
  appPreviousKeys: {
    variable: 'VALIDONX_APP_PREVIOUS_KEYS',
    about: 'Earlier application keys, separated by commas, while a rotation lasts',
    schema: z
      .string()
      .transform((list) =>
        list
          .split(',')
          .map((key) => key.trim())
          .filter(Boolean),
      )
      .refine(
        (keys) => keys.every(isAppKey),
        'must be a comma-separated list of 32-byte base64 keys',
      )
      .default([]),
    secret: true,
  },
  home: {
    variable: 'VALIDONX_HOME',
    about: 'Folder of the embedded database server and its key',
    schema: z.string().min(1, 'must not be empty').default('.validonx'),
    flag: '--home',
  },
  host: {
    variable: 'VALIDONX_HOST',
    about: 'Address that "serve" listens on',
    schema: z.string().min(1, 'must not be empty').default('127.0.0.1'),
    flag: '--host',
  },
  port: {
    variable: 'VALIDONX_PORT',
    about: 'Port that "serve" listens on; 0 takes a free one',
    schema: count(8080, 0, 65535),
    flag: '--port',
  },
  apiRateLimitRequests: {
    variable: 'VALIDONX_API_RATE_LIMIT_REQUESTS',
    about: 'Requests that one API key may make in a period',
    schema: count(1000, 1, 1_000_000_000),
  },
  apiRateLimitPeriod: {
    variable: 'VALIDONX_API_RATE_LIMIT_PERIOD',
    about: 'Seconds of that period',
    schema: count(3600, 1, 2_678_400),
  },
  tokenableUser: {
    variable: 'VALIDONX_TOKENABLE_USER',
    about: "What Laravel's morph map calls users in personal_access_tokens",
    schema: z.string().min(1, 'must not be empty').max(255).default('App\\Models\\User'),
  },
  tokenableAdmin: {
    variable: 'VALIDONX_TOKENABLE_ADMIN',
    about: 'The same for admins',
    schema: z.string().min(1, 'must not be empty').max(255).default('App\\Models\\Admin'),
  },
  tokenExpiration: {
    variable: 'VALIDONX_TOKEN_EXPIRATION',
    about: "Minutes after which every token ends (Sanctum's `expiration`); by default none does",
    schema: wholeNumber(1, 52_560_000).optional(),
  },
  loginTokenLifetime: {
    variable: 'VALIDONX_LOGIN_TOKEN_LIFETIME',
    about: 'Minutes that a token made by a login lives',
    schema: count(43_200, 1, 52_560_000),
  },
  passwordHash: {
    variable: 'VALIDONX_PASSWORD_HASH',
    about:
      "Algorithm of new password hashes: bcrypt, argon2i or argon2id, as in Laravel's HASH_DRIVER; by default bcrypt for new users, and for a changed password the one it had",
    schema: z.enum(PASSWORD_HASHES, `must be one of ${PASSWORD_HASHES.join(', ')}`).optional(),
  },
  webhookAllow: {
    variable: 'VALIDONX_WEBHOOK_ALLOW',
    about:
      'Address ranges beyond the open Internet that webhooks may reach, as CIDR, separated by commas; http is allowed then',
    schema: z
      .string()
      .transform((list) =>
        list
          .split(',')
          .map((range) => range.trim())
          .filter(Boolean),
      )
      .superRefine((ranges, check) => {
        for (const range of ranges.filter((each) => !isAddressRange(each)))
          check.addIssue({
            code: 'custom',
            message: `must be ranges such as 10.0.0.0/8, separated by commas; "${range}" is not one`,
          })
      })
      .default([]),
  },
  redisUrl: {
    variable: 'VALIDONX_REDIS_URL',
    about: 'Redis for counting requests across processes; without it each counts for itself',
    schema: url(faultsOfRedisUrl).optional(),
    secret: true,
  },
  keepAliveTimeout: {
    variable: 'VALIDONX_KEEP_ALIVE_TIMEOUT',
    about:
      'Seconds that "serve" keeps an idle connection open; set it above the idle timeout of the load balancer',
    schema: seconds(65, 1, 86_400),
  },
  redisCa: {
    variable: 'VALIDONX_REDIS_CA',
    about:
      'File with the CA certificates of Redis (PEM), for rediss://; by default those of Node.js are trusted',
    schema: pemFile(readCertificates).optional(),
  },
  trustedHops: {
    variable: 'VALIDONX_TRUSTED_HOPS',
    about: 'Proxies of yours in front of "serve": so many entries of X-Forwarded-For are believed',
    schema: count(0, 0, 10),
  },
  connections: {
    variable: 'VALIDONX_CONNECTIONS',
    about: 'Most connections to tenant databases, per database server, of one process',
    schema: count(64, 1, 10_000),
  },
  connectionsPerTenant: {
    variable: 'VALIDONX_CONNECTIONS_PER_TENANT',
    about: 'Most of them that one tenant may use at once; by default a quarter, at least 4',
    schema: wholeNumber(1, 10_000).optional(),
  },
  acquireTimeout: {
    variable: 'VALIDONX_ACQUIRE_TIMEOUT',
    about: 'Seconds that work waits for a connection before it is answered 503',
    schema: seconds(5, 0.05, 120),
  },
  connectTimeout: {
    variable: 'VALIDONX_CONNECT_TIMEOUT',
    about: 'Seconds that a new connection to a database server may take',
    schema: seconds(5, 0.1, 120),
  },
  leaseTime: {
    variable: 'VALIDONX_LEASE_TIME',
    about: 'Seconds after which the lease of a process that fell silent ends',
    schema: seconds(30, 1, 3600),
  },
  drainDelay: {
    variable: 'VALIDONX_DRAIN_DELAY',
    about: 'Seconds between "not ready" and the end of listening when "serve" is told to stop',
    schema: seconds(0, 0, 300),
  },
  stopTimeout: {
    variable: 'VALIDONX_STOP_TIMEOUT',
    about: 'Seconds that requests in flight get to finish when "serve" stops',
    schema: seconds(25, 0.1, 600),
  },
  operator: {
    variable: 'VALIDONX_OPERATOR',
    about: "Who acts, for the audit trail; by default the system's user and host",
    schema: z
      .string()
      .min(1, 'must not be empty')
      .max(120, 'must be at most 120 characters')
      .optional(),
  },
  onBehalfOf: {
    variable: 'VALIDONX_ON_BEHALF_OF',
    about: 'For whom the operator acts, for the audit trail: a person, or a ticket',
    schema: z
      .string()
      .min(1, 'must not be empty')
      .max(120, 'must be at most 120 characters')
      .optional(),
  },
  logLevel: {
    variable: 'VALIDONX_LOG_LEVEL',
    about: `How much "serve" logs: ${LOG_LEVELS.join(', ')}`,
    schema: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('info'),
  },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof settings
export type Config = { readonly [Name in SettingName]: z.output<(typeof settings)[Name]['schema']> }

/** Where a value came from: "default", "environment", "option", or the path of a file. */
export type Origin = string
export type ConfigSources = {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Values of command-line options, by setting. */
  readonly options?: { readonly [Name in SettingName]?: string | undefined }
  /** The `.env` file; one that does not exist is no fault unless `envFileRequired`. */
  readonly envFile?: string
  readonly envFileRequired?: boolean
}
export type LoadedConfig = {
  readonly config: Config
  readonly origins: Readonly<Record<SettingName, Origin>>
  /** NODE_ENV=production, in the environment or, if it has no NODE_ENV, in the `.env` file. */
  readonly isProduction: boolean
  /** Variables that are ignored because Kubernetes made them. */
  readonly ignored: readonly string[]
}

/**
 * Reads options, then environment, then `.env`, then defaults, the first that names a setting winning.
 * A secret may also be in a file that `<VARIABLE>_FILE` names. White space around a value is dropped,
 * and an empty variable is an unset one.
 *
 * @throws CONFIG.INVALID with all faults at once; no value of a secret is repeated.
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const { values, faults, ...rest } = inspectConfig(sources)
  if (faults.length > 0) throw new AppError('CONFIG.INVALID', faults).with({ faults })
  return { config: values as Config, ...rest }
}

export type InspectedConfig = Omit<LoadedConfig, 'config'> & {
  /** What could be read; a setting with a fault is absent. */
  readonly values: Partial<Config>
  readonly faults: readonly string[]
}

/** The same without refusing: for showing what is wrong. */
export function inspectConfig({
  environment,
  options = {},
  envFile,
  envFileRequired,
}: ConfigSources): InspectedConfig {
  const faults: string[] = []
  const fromFile = readEnvFile(envFile, envFileRequired === true, faults)
  const ignored = Object.keys(environment).filter((name) =>
    isFromKubernetes(name, environment[name] ?? ''),
  )
  const ownEnvironment = Object.fromEntries(
    Object.entries(environment).filter(([name]) => !ignored.includes(name)),
  )
  const sources: readonly Source[] = [
    { variables: ownEnvironment, origin: 'environment' },
    { variables: fromFile, origin: envFileRequired && envFile ? envFile : '.env' },
  ]
  const values: Record<string, unknown> = {}
  const origins: Record<string, Origin> = {}

  for (const [name, setting] of entries()) {
    const found = find(setting, options[name], sources, faults)
    const parsed = setting.schema.safeParse(found?.value)
    origins[name] = found?.origin ?? 'default'
    if (parsed.success) values[name] = parsed.data
    for (const issue of parsed.error?.issues ?? []) {
      const from = found ? ` (from ${found.origin}${hintOf(found.value)})` : ''
      faults.push(`${setting.variable} ${issue.message}${from}`)
    }
  }
  faults.push(...faultsOfPair(origins, values as Partial<Config>), ...faultsOfNames(sources))
  const nodeEnv = environment.NODE_ENV?.trim() || fromFile.NODE_ENV?.trim()
  return {
    values: values as Partial<Config>,
    origins: origins as Record<SettingName, Origin>,
    isProduction: nodeEnv === 'production',
    ignored,
    faults,
  }
}

export const entries = (): [SettingName, Setting][] =>
  Object.entries(settings) as [SettingName, Setting][]

/** A setting's value for people: secrets masked, a URL with only its password masked. */
export function presentable(name: SettingName, value: unknown): string {
  if (value === undefined) return ''
  const { secret } = settings[name] as Setting
  if (!secret) return Array.isArray(value) ? value.join(',') : String(value)
  if (typeof value === 'string' && URL.canParse(value)) {
    const url = new URL(value)
    if (url.password) url.password = '***'
    return url.href
  }
  return Array.isArray(value) && value.length === 0 ? '' : '***'
}

/** What can't be seen in a value that was refused, or is easily overlooked. */
function hintOf(value = ''): string {
  const [invisible] = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u00a0]/u.exec(value) ?? []
  if (invisible) return `, with the invisible character ${asAscii(invisible)}`
  return /^(["'`]).*\1$/s.test(value) ? ', where the quotes are part of the value' : ''
}

/** A client certificate and its key are of use only together. */
function faultsOfPair(
  { databaseCert: certFrom, databaseKey: keyFrom }: Readonly<Record<string, Origin>>,
  { databaseCert, databaseKey }: Partial<Config>,
): string[] {
  const { variable: cert } = settings.databaseCert
  const { variable: key } = settings.databaseKey
  if (certFrom === 'default' && keyFrom === 'default') return []
  if (keyFrom === 'default') return [`${cert} is set without ${key}: set both`]
  if (certFrom === 'default') return [`${key} is set without ${cert}: set both`]
  return databaseCert && databaseKey && !isPair(databaseCert, databaseKey)
    ? [`${key} is not the key of the certificate in ${cert}`]
    : []
}

type Source = {
  readonly variables: Readonly<Record<string, string | undefined>>
  readonly origin: Origin
}

function find(
  { variable, secret }: Setting,
  option: string | undefined,
  sources: readonly Source[],
  faults: string[],
): { value: string | undefined; origin: Origin } | undefined {
  if (option !== undefined) return { value: option.trim(), origin: 'option' }
  for (const { variables, origin } of sources) {
    const value = variables[variable]?.trim()
    const path = secret ? variables[`${variable}_FILE`]?.trim() : undefined
    if (value && path) {
      faults.push(`${variable} and ${variable}_FILE are both set (in ${origin}): set one of them`)
      return { value: undefined, origin }
    }
    if (value) return { value, origin }
    if (path) return readSecret(`${variable}_FILE`, path, faults)
  }
  return undefined
}

/** The path is not repeated in a fault: it may be the secret itself, set under the wrong name. */
function readSecret(
  variable: string,
  path: string,
  faults: string[],
): { value: string | undefined; origin: Origin } {
  const read = readTextFile(path) ?? { fault: 'does not exist' }
  if ('text' in read && read.text.trim() !== '') return { value: read.text.trim(), origin: path }
  faults.push(`${variable}: the file ${'fault' in read ? read.fault : 'is empty'}`)
  return { value: undefined, origin: path }
}

function readEnvFile(
  path: string | undefined,
  required: boolean,
  faults: string[],
): Readonly<Record<string, string>> {
  if (path === undefined) return {}
  const read = readTextFile(path)
  if (!read) {
    if (required) faults.push(`the file of --config does not exist: "${resolve(path)}"`)
    return {}
  }
  if ('fault' in read) {
    faults.push(`"${resolve(path)}" ${read.fault}`)
    return {}
  }
  const parsed = parseEnvFile(read.text)
  faults.push(...parsed.faults.map((fault) => `"${resolve(path)}": ${fault}`))
  return parsed.values
}

/** A port's name, number and protocol in the variables of a Kubernetes Service. */
const KUBERNETES: readonly [name: RegExp, isValue: (value: string) => boolean][] = [
  [/_SERVICE_HOST$/, (value) => isIP(value) !== 0],
  [/_SERVICE_PORT(_[A-Z0-9_]+)?$/, (value) => /^\d{1,5}$/.test(value)],
  [/_PORT(_\d+_(TCP|UDP|SCTP))?$/, (value) => /^(tcp|udp|sctp):\/\//.test(value)],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PROTO$/, (value) => /^(tcp|udp|sctp)$/.test(value)],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PORT$/, (value) => /^\d{1,5}$/.test(value)],
  [/_PORT_\d+_(TCP|UDP|SCTP)_ADDR$/, (value) => isIP(value) !== 0],
]

/**
 * Whether a variable is one of those that Kubernetes gives every pod for a Service called "validonx" or
 * "validonx-…". They are known by name and value together, so a slip in a setting of ours is still seen.
 */
const isFromKubernetes = (name: string, value: string): boolean =>
  name.startsWith('VALIDONX_') &&
  KUBERNETES.some(([form, isValue]) => form.test(name) && isValue(value.trim()))

function faultsOfNames(sources: readonly Source[]): string[] {
  const known = new Set(
    entries().flatMap(([, { variable, secret }]) =>
      secret ? [variable, `${variable}_FILE`] : [variable],
    ),
  )
  const named = sources.flatMap(({ variables }) => Object.keys(variables))
  return [...new Set(named)]
    .filter((name) => isOurs(name) && !known.has(name))
    .map((name) => `${asAscii(name)} is not a setting of validonx`)
    .sort()
}

/** With an invisible or foreign character as its number, so that it can be seen. */
const asAscii = (text: string): string =>
  text.replace(/[^\x21-\x7e]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)

function isAppKey(text: string): boolean {
  return /^[A-Za-z0-9+/_-]{43}=?$/.test(text) && Buffer.from(text, 'base64').length === 32
}
