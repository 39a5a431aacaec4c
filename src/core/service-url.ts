import { domainToASCII } from 'node:url'

/** A URL setting, taken apart and decoded. */
export type ServiceUrl = {
  readonly protocol: string
  readonly user: string
  readonly password: string
  /** Without brackets; IPv4 written inside IPv6 is IPv4. */
  readonly host: string
  readonly port: number | undefined
  readonly path: string
  readonly parameters: URLSearchParams
}

type Form = {
  /** How it should look, for messages. */
  readonly example: string
  readonly protocols: readonly string[]
  readonly needsUser: boolean
  readonly path: RegExp
  /** What to say about another path. */
  readonly pathAdvice: string
  readonly parameters: readonly string[]
}

const DATABASE: Form = {
  example: 'mysql://user:password@host:port',
  protocols: ['mysql', 'mariadb'],
  needsUser: true,
  path: /^\/?$/,
  pathAdvice: 'leave it out: VALIDONX_PLATFORM_DATABASE names the platform database',
  parameters: ['socket'],
}

const REDIS: Form = {
  example: 'redis://host:port, or rediss://host:port for TLS',
  protocols: ['redis', 'rediss'],
  needsUser: false,
  path: /^\/?(\d{1,4})?$/,
  pathAdvice: 'only the number of a database may follow the host, such as /0',
  parameters: [],
}

const ENCODING =
  'percent-encode special characters in the user and the password (@ is %40, / is %2F, ? is %3F, # is %23)'

/** What is wrong with a database URL, in a sentence for each fault. Nothing that may be a password is repeated. */
export const faultsOfDatabaseUrl = (text: string): string[] => faultsOf(text, DATABASE)
export const faultsOfRedisUrl = (text: string): string[] => faultsOf(text, REDIS)

function faultsOf(text: string, form: Form): string[] {
  // the parser of URLs would drop a line break or a tab in silence
  if (/[\p{Cc}\p{Cf}]|(?! )\p{Z}/u.test(text))
    return ['has a line break or another invisible character: percent-encode it']
  const [bare] = withoutZone(text)
  if (!URL.canParse(bare)) return [`must look like ${form.example}; ${ENCODING}`]
  const url = new URL(bare)
  if (!form.protocols.includes(url.protocol.slice(0, -1))) return [`must look like ${form.example}`]
  if (form.needsUser && url.username === '') return [`must look like ${form.example}; ${ENCODING}`]
  const behindHost = `${url.pathname}${url.search}${url.hash}`
  if (behindHost.includes('@')) return [`has an "@" behind the host: ${ENCODING}`]
  if (![url.username, url.password, url.hostname, behindHost].every(isDecodable))
    return [
      `has a "%" that is not followed by two hexadecimal digits of UTF-8 text: write it as %25`,
    ]
  if (hostOf(url) === '' || url.port === '0') return [`must look like ${form.example}`]
  return [
    ...(form.path.test(url.pathname)
      ? []
      : [`has the path ${shown(url.pathname)}; ${form.pathAdvice}`]),
    ...faultsOfParameters(url.searchParams, form.parameters),
    ...(url.hash === '' ? [] : [`has the fragment ${shown(url.hash)}, which means nothing here`]),
  ]
}

function faultsOfParameters(given: URLSearchParams, known: readonly string[]): string[] {
  return [...new Set(given.keys())].flatMap((name) => {
    const values = given.getAll(name)
    if (!known.includes(name)) {
      const advice = /ssl|tls/i.test(name) ? '; VALIDONX_DATABASE_TLS sets how TLS is used' : ''
      return [
        `has the unknown parameter ${shown(name)} (known: ${known.join(', ') || 'none'})${advice}`,
      ]
    }
    if (values.length > 1) return [`gives ${shown(name)} more than once`]
    return values[0] === '' ? [`gives an empty ${shown(name)}`] : []
  })
}

/** Takes a URL apart in which no fault was found. */
export function readServiceUrl(text: string): ServiceUrl {
  const [bare, zone] = withoutZone(text)
  const url = new URL(bare)
  return {
    protocol: url.protocol.slice(0, -1),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    host: `${hostOf(url)}${zone}`,
    port: url.port === '' ? undefined : Number(url.port),
    path: url.pathname,
    parameters: url.searchParams,
  }
}

/** The parser of URLs knows no zone (`[fe80::1%25eth0]`), so it is taken out before. */
function withoutZone(text: string): [bare: string, zone: string] {
  const found = /^([a-z]+:\/\/(?:[^/?#]*@)?\[[0-9a-f:.]+)%(?:25)?([\w.~-]+)(\].*)$/i.exec(text)
  if (!found) return [text, '']
  const [, before, zone, after] = found
  return [`${before}${after}`, `%${zone}`]
}

/** In ASCII and lower case, as certificates and name servers have it; '' for what is no host. */
function hostOf({ hostname }: URL): string {
  const ascii = domainToASCII(decodeURIComponent(hostname))
  const host = ascii.replace(/^\[|\]$/g, '')
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host) ?? []
  if (high === undefined || low === undefined) return host
  const [one, two] = [Number.parseInt(high, 16), Number.parseInt(low, 16)]
  return [one >> 8, one & 255, two >> 8, two & 255].join('.')
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

const shown = (part: string): string =>
  JSON.stringify(part.length > 40 ? `${part.slice(0, 40)}…` : part)
