import { X509Certificate } from 'node:crypto'
import { chmod, mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inspectConfig, loadConfig, presentable } from '../../src/core/config.js'
import type { AppError } from '../../src/core/errors.js'
import { makeCertificate } from '../support/certificates.js'

const KEY = Buffer.alloc(32, 7).toString('base64')
const URL = 'mysql://root:hunter2@db.example:3306'

const folder = await mkdtemp(join(tmpdir(), 'validonx-config-'))
let files = 0
const write = async (content: string | Uint8Array): Promise<string> => {
  files += 1
  const path = join(folder, `file-${files}`)
  await writeFile(path, content)
  return path
}

const faultsOf = (environment: Record<string, string>, envFile?: string): string[] => {
  try {
    loadConfig({ environment, ...(envFile === undefined ? {} : { envFile }) })
    return []
  } catch (error) {
    return (error as AppError).details.faults as string[]
  }
}

const readFrom = async (content: string | Uint8Array) =>
  inspectConfig({ environment: {}, envFile: await write(content) })

describe('configuration', () => {
  test('comes from options before the environment, the environment before .env, .env before defaults', async () => {
    const envFile = await write(
      'VALIDONX_PORT=1001\nVALIDONX_HOST=10.0.0.1\nVALIDONX_HOME=from-file\n',
    )

    const { config, origins } = loadConfig({
      environment: { VALIDONX_PORT: '1002', VALIDONX_HOST: '10.0.0.2' },
      options: { port: '1003' },
      envFile,
    })

    expect([config.port, config.host, config.home, config.platformDatabase]).toEqual([
      1003,
      '10.0.0.2',
      'from-file',
      'validonx_platform',
    ])
    expect([origins.port, origins.host, origins.home, origins.platformDatabase]).toEqual([
      'option',
      'environment',
      '.env',
      'default',
    ])
  })

  test('names the file of --config as the origin of what it sets', async () => {
    const envFile = await write('VALIDONX_PORT=1001\n')

    const { origins } = loadConfig({ environment: {}, envFile, envFileRequired: true })

    expect(origins.port).toBe(envFile)
  })

  test('reports all faults together, names each variable, and repeats no secret', () => {
    const faults = faultsOf({
      VALIDONX_APP_KEY: 'too-short-and-secret',
      VALIDONX_PORT: '99999',
      VALIDONX_DATABASE_URL: 'postgres://user:hunter2@host',
      VALIDONX_TENANT_PREFIX: 'Bad-Prefix',
      VALIDONX_TYPO: '1',
    })

    expect(faults.map((fault) => fault.split(' ')[0]).sort()).toEqual([
      'VALIDONX_APP_KEY',
      'VALIDONX_DATABASE_URL',
      'VALIDONX_PORT',
      'VALIDONX_TENANT_PREFIX',
      'VALIDONX_TYPO',
    ])
    expect(faults.join()).not.toMatch(/too-short-and-secret|hunter2/)
  })

  test.for([
    ['VALIDONX_APP_KEY', 'short'],
    ['VALIDONX_APP_KEY', Buffer.alloc(31).toString('base64')],
    ['VALIDONX_APP_KEY', Buffer.alloc(33).toString('base64')],
    ['VALIDONX_APP_PREVIOUS_KEYS', `${KEY},nonsense`],
    ['VALIDONX_DATABASE_URL', 'mysql://host'],
    ['VALIDONX_RUNTIME_URL', 'not a url'],
    ['VALIDONX_PLATFORM_DATABASE', 'test_platform'],
    ['VALIDONX_PLATFORM_DATABASE', '`; drop database x'],
    ['VALIDONX_TENANT_PREFIX', 'a_prefix_that_is_far_too_long_'],
    ['VALIDONX_CONNECTIONS', '0'],
    ['VALIDONX_CONNECTIONS', '1.5'],
    ['VALIDONX_CONNECTIONS', '5.0'],
    ['VALIDONX_CONNECTIONS', '1e3'],
    ['VALIDONX_CONNECTIONS_PER_TENANT', '0x10'],
    ['VALIDONX_TOKEN_EXPIRATION', '+60'],
    ['VALIDONX_PORT', '8080 # the default'],
    ['VALIDONX_ACQUIRE_TIMEOUT', 'soon'],
    ['VALIDONX_ACQUIRE_TIMEOUT', '1e1'],
    ['VALIDONX_ACQUIRE_TIMEOUT', 'Infinity'],
    ['VALIDONX_LOG_LEVEL', 'loud'],
    ['VALIDONX_DATABASE_TLS', 'maybe'],
    ['VALIDONX_DATABASE_CA', '/no/such/file.pem'],
  ] as const)('refuses %s=%s', ([variable, value]) => {
    expect(faultsOf({ [variable]: value })).toHaveLength(1)
  })

  test.for([
    ['VALIDONX_APP_KEY', `${KEY.slice(0, 9)}\u200B${KEY.slice(9)}`, '\\u{200b}'],
    ['VALIDONX_PORT', '80\u00A081', '\\u{a0}'],
    ['VALIDONX_APP_KEY', `"${KEY}"`, 'the quotes are part of the value'],
    ['VALIDONX_DATABASE_URL', `'${URL}'`, 'the quotes are part of the value'],
  ] as const)('tells what is easily overlooked in a refused %s=%j', ([variable, value, hint]) => {
    const faults = faultsOf({ [variable]: value })

    expect(faults).toEqual([expect.stringContaining(hint)])
    expect(faults.join()).not.toMatch(/hunter2|BwcHBw/)
  })

  test('is shown with its secrets masked', () => {
    expect(presentable('appKey', KEY)).toBe('***')
    expect(presentable('appPreviousKeys', [KEY])).toBe('***')
    expect(presentable('databaseUrl', 'mysql://root:hunter2@db:3306')).toBe(
      'mysql://root:***@db:3306',
    )
    expect(presentable('port', 8080)).toBe('8080')
  })
})

describe('white space around a value', () => {
  const padded = {
    VALIDONX_APP_KEY: `${KEY}\n`,
    VALIDONX_APP_PREVIOUS_KEYS: `\t${KEY} ,\n${KEY}\r\n`,
    VALIDONX_DATABASE_URL: ` ${URL}\n`,
    VALIDONX_REDIS_URL: 'redis://cache:6379\n',
    VALIDONX_PORT: ' 8081\n',
    VALIDONX_LOG_LEVEL: 'debug ',
    VALIDONX_PLATFORM_DATABASE: 'platform\n',
    VALIDONX_WEBHOOK_ALLOW: ' 10.0.0.0/8 ,\n192.168.0.0/16\n',
    VALIDONX_ACQUIRE_TIMEOUT: ' 2.5 ',
  }
  const trimmed = {
    appKey: KEY,
    appPreviousKeys: [KEY, KEY],
    databaseUrl: URL,
    redisUrl: 'redis://cache:6379',
    port: 8081,
    logLevel: 'debug',
    platformDatabase: 'platform',
    webhookAllow: ['10.0.0.0/8', '192.168.0.0/16'],
    acquireTimeout: 2.5,
  }

  test('is dropped from the environment', () => {
    expect(loadConfig({ environment: padded }).config).toMatchObject(trimmed)
  })

  test('is dropped from quoted values of .env', async () => {
    const lines = Object.entries(padded).map(([name, value]) => `${name}="${value}"`)
    const { values, faults } = await readFrom(lines.join('\n'))

    expect(faults).toEqual([])
    expect(values).toMatchObject(trimmed)
  })

  test('is dropped from the files of _FILE variables', async () => {
    const environment = Object.fromEntries(
      await Promise.all(
        (['VALIDONX_APP_KEY', 'VALIDONX_DATABASE_URL', 'VALIDONX_REDIS_URL'] as const).map(
          async (name) => [`${name}_FILE`, ` ${await write(padded[name])}\n`] as const,
        ),
      ),
    )

    const { appKey, databaseUrl, redisUrl } = loadConfig({ environment }).config

    expect({ appKey, databaseUrl, redisUrl }).toEqual({
      appKey: KEY,
      databaseUrl: URL,
      redisUrl: 'redis://cache:6379',
    })
  })

  test('alone is the same as no value', () => {
    const { config, origins } = loadConfig({
      environment: { VALIDONX_PORT: '', VALIDONX_HOST: ' \n', VALIDONX_APP_KEY: '' },
    })

    expect([config.port, config.host, config.appKey, origins.port]).toEqual([
      8080,
      '127.0.0.1',
      undefined,
      'default',
    ])
  })
})

describe('a secret in a file', () => {
  test('is read, and its file is named as its origin', async () => {
    const path = await write(`\uFEFF${KEY}\r\n`)

    const { config, origins } = loadConfig({ environment: { VALIDONX_APP_KEY_FILE: path } })

    expect([config.appKey, origins.appKey]).toEqual([KEY, path])
  })

  test.for([
    ['does not exist', async () => join(folder, 'missing')],
    ['is a folder', async () => folder],
    ['is empty', async () => write('\n')],
    ['is in UTF-16', async () => write(Buffer.from(`\uFEFF${KEY}`, 'utf16le'))],
  ] as const)('is refused without its name if the file %s', async ([, make]) => {
    const path = await make()

    const faults = faultsOf({ VALIDONX_APP_KEY_FILE: path })

    expect(faults).toHaveLength(1)
    expect(faults[0]).toMatch(/^VALIDONX_APP_KEY_FILE: the file /)
    expect(faults[0]).not.toContain(path)
  })

  test('is refused if the variable itself is set too', async () => {
    const faults = faultsOf({
      VALIDONX_APP_KEY: KEY,
      VALIDONX_APP_KEY_FILE: await write(KEY),
    })

    expect(faults).toEqual([
      'VALIDONX_APP_KEY and VALIDONX_APP_KEY_FILE are both set (in environment): set one of them',
    ])
  })
})

describe('a .env file', () => {
  const LINES = `VALIDONX_DATABASE_URL=${URL}\r\nVALIDONX_APP_KEY=${KEY}\r\n`

  test.for([
    ['a byte-order mark', `\uFEFF${LINES}`],
    ['line ends of old Macs', LINES.replaceAll('\r\n', '\r')],
    ['"export" before names', LINES.replaceAll('VALIDONX', 'export  VALIDONX')],
    [
      'tabs around names',
      LINES.replaceAll('VALIDONX', '\tVALIDONX').replaceAll('KEY=', 'KEY\t=\t'),
    ],
    ['quotes', `VALIDONX_DATABASE_URL='${URL}' # main\nVALIDONX_APP_KEY=\`${KEY}\`\n`],
    ['lines of other programs', `APP_NAME=My App\nX='it\n- y: z\nFOO BAR\n${LINES}Y="half`],
    ['comments behind values', `VALIDONX_HOST= # none\n${LINES.replaceAll('\r', ' # here\r')}`],
    ['a "#" inside a comment', LINES.replaceAll('\r', ' # see OPS#12\r')],
    ['the same value twice', `${LINES}VALIDONX_APP_KEY=${KEY}\n`],
  ] as const)('is read with %s', async ([, content]) => {
    const { values, faults } = await readFrom(content)

    expect(faults).toEqual([])
    expect([values.databaseUrl, values.appKey]).toEqual([URL, KEY])
  })

  test.for([
    ['UTF-16 LE with a mark', Buffer.from(`\uFEFF${LINES}`, 'utf16le')],
    ['UTF-16 LE without a mark', Buffer.from(LINES, 'utf16le')],
    ['UTF-16 BE with a mark', Buffer.from(`\uFEFF${LINES}`, 'utf16le').swap16()],
    ['UTF-16 BE without a mark', Buffer.from(LINES, 'utf16le').swap16()],
    ['latin1', Buffer.from(`${LINES}VALIDONX_OPERATOR=Zoë\n`, 'latin1')],
    ['text with a NUL', `VALIDONX_PORT=80\0\n${LINES}`],
  ] as const)('is refused if it is %s', async ([, content]) => {
    const { faults } = await readFrom(content)

    expect(faults).toHaveLength(1)
    expect(faults[0]).toMatch(/save it as UTF-8/)
  })

  test.for([
    ['a quote that is never closed', 'VALIDONX_HOST="10.0.0.1\nVALIDONX_PORT=80', /line 1 opens/],
    ['a quote that swallows a setting', 'X="a\nVALIDONX_PORT=80\nY="b"', /line 1 opens a quote/],
    ['text after a quote', 'VALIDONX_HOST="10.0.0.1"0', /line 1 goes on/],
    ['two values for a name', 'VALIDONX_PORT=1\n\nVALIDONX_PORT=2', /lines 1 and 3 give/],
    ['a "#" inside a value', 'VALIDONX_OPERATOR=a#b', /line 1 has a "#"/],
    ['a "#" before a value', 'VALIDONX_OPERATOR=#1', /line 1 has a "#"/],
    ['a colon for "="', 'VALIDONX_PORT: 80', /line 1 is not NAME=value/],
    ['a word before a name', 'set VALIDONX_PORT=80', /line 1 is not NAME=value/],
    ['an invisible character before a name', '\u200BVALIDONX_PORT=80', /line 1 is not/],
    ['an invisible character in a name', 'VALIDONX_\u2060PORT=80', /line 1 is not/],
    ['a name in lower case', 'validonx_port=80', /^validonx_port is not a setting/],
    [
      'variables that only Kubernetes makes',
      'VALIDONX_PORT=tcp://10.0.0.1:80',
      /VALIDONX_PORT must/,
    ],
  ] as const)('is refused with %s', async ([, content, fault]) => {
    const { faults } = await readFrom(content)

    expect(faults).toHaveLength(1)
    expect(faults[0]?.replace(/^"[^"]*": /, '')).toMatch(fault)
  })

  test('may be absent, unless it was asked for', () => {
    const envFile = join(folder, 'none')

    expect(inspectConfig({ environment: {}, envFile }).faults).toEqual([])
    expect(inspectConfig({ environment: {}, envFile, envFileRequired: true }).faults).toEqual([
      `the file of --config does not exist: "${envFile}"`,
    ])
  })

  test('is refused if it is a folder, or a link that leads nowhere', async () => {
    const [asFolder, link] = [join(folder, 'as-folder'), join(folder, 'link')]
    await mkdir(asFolder)
    await symlink(join(folder, 'nowhere'), link)

    expect(faultsOf({}, asFolder)).toEqual([`"${asFolder}" is a folder`])
    expect(faultsOf({}, link)).toEqual([`"${link}" cannot be read (ENOENT)`])
  })

  test.skipIf(process.getuid?.() === 0)('is refused if this user may not read it', async () => {
    const path = await write(LINES)
    await chmod(path, 0)

    expect(faultsOf({}, path)).toEqual([`"${path}" cannot be read (EACCES)`])
  })

  test.for([
    [{}, 'NODE_ENV=production', true],
    [{ NODE_ENV: ' production\n' }, '', true],
    [{ NODE_ENV: '' }, 'NODE_ENV="production"', true],
    [{ NODE_ENV: 'development' }, 'NODE_ENV=production', false],
    [{}, 'NODE_ENV=staging', false],
  ] as const)(
    'with NODE_ENV %j and "%s" means production: %s',
    async ([environment, content, expected]) => {
      const { isProduction } = loadConfig({ environment, envFile: await write(content) })

      expect(isProduction).toBe(expected)
    },
  )
})

describe('a URL', () => {
  test.for([
    ['mysql://root:p@h?socketPath=/run/x.sock', '"socketPath" (known: socket)'],
    ['mysql://root:p@h?socket=/run/x.sock&charset=latin1', '"charset"'],
    ['mysql://root:p@h?ssl-mode=REQUIRED', 'VALIDONX_DATABASE_TLS'],
    ['mysql://root:p@h?socket=/a&socket=/b', '"socket" more than once'],
    ['mysql://root:p@h?socket=', 'an empty "socket"'],
    ['mysql://root:p@h:3306/defaultdb', '"/defaultdb"; leave it out: VALIDONX_PLATFORM_DATABASE'],
    ['mysql://root:p@h#main', 'the fragment "#main"'],
    ['mysql://root:100%@h', 'write it as %25'],
    ['mysql://root:p@h?socket=%ff', 'write it as %25'],
    ['mysql://root:p@h\n:3306', 'invisible character'],
    ['mysql://root:p@h:0', 'must look like'],
    ['mysql://root:p@', 'must look like'],
  ] as const)('%j of a database is refused by the part at fault', ([text, expected]) => {
    for (const variable of ['VALIDONX_DATABASE_URL', 'VALIDONX_RUNTIME_URL']) {
      const faults = faultsOf({ [variable]: text })
      expect(faults).toHaveLength(1)
      expect(faults[0]).toContain(expected)
    }
  })

  test.for([
    ['rediss://cache:6380?tls=false', '"tls" (known: none)'],
    ['redis://cache:6379/main', '"/main"; only the number of a database'],
    ['redis://cache#0', '"#0"'],
    ['redis://:%zz@cache', 'write it as %25'],
    ['http://cache', 'must look like redis://'],
    ['redis://', 'must look like redis://'],
  ] as const)('%j of Redis is refused by the part at fault', ([text, expected]) => {
    const faults = faultsOf({ VALIDONX_REDIS_URL: text })
    expect(faults).toHaveLength(1)
    expect(faults[0]).toContain(expected)
  })

  test('names every part at fault at once', () => {
    expect(faultsOf({ VALIDONX_DATABASE_URL: 'mysql://u:p@h/db?a=1&b=2#c' })).toHaveLength(4)
  })

  test.for([
    'mysql://root:s3/cr3t@h',
    'mysql://root:1?s3cr3t@h',
    'mysql://root:a@b?s3cr3t@h',
    'mysql://root:a@b#s3cr3t@h',
    'mysql://root:a@b/s3cr3t@h/x',
    'mysql://root:%s3cr3t@h',
    'mysqls://root:s3cr3t@h',
    'mysql://root:p@h?x=s3cr3t',
  ] as const)('%s is refused without a part of its password', (text) => {
    const faults = faultsOf({ VALIDONX_DATABASE_URL: text })

    expect(faults).toHaveLength(1)
    expect(faults.join()).not.toMatch(/cr3t/)
  })

  test.for([
    'mysql://root@[::1]:3306',
    'mysql://root:p@[fe80::1%25eth0]',
    'MYSQL://root:p%40ss@DB.EXAMPLE.',
    'mariadb://root:p@m%C3%BCnchen.example/',
    'mysql://root@localhost?socket=/run/my%20sql/x.sock',
  ] as const)('%s is taken', (text) => {
    expect(faultsOf({ VALIDONX_DATABASE_URL: text })).toEqual([])
  })
})

describe('variables that Kubernetes makes for a Service', () => {
  const SERVICE = {
    VALIDONX_PORT: 'tcp://10.0.0.1:8080',
    VALIDONX_SERVICE_HOST: '10.0.0.1',
    VALIDONX_SERVICE_PORT: '8080',
    VALIDONX_SERVICE_PORT_HTTP: '8080',
    VALIDONX_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
    VALIDONX_PORT_8080_TCP_PROTO: 'tcp',
    VALIDONX_PORT_8080_TCP_PORT: '8080',
    VALIDONX_PORT_8080_TCP_ADDR: '10.0.0.1',
    VALIDONX_PORT_53_UDP: 'udp://[fd00::1]:53',
    VALIDONX_PORT_53_UDP_ADDR: 'fd00::1',
    VALIDONX_PORT_9_SCTP: 'sctp://10.0.0.1:9',
    VALIDONX_PORT_9_SCTP_PROTO: 'sctp',
    VALIDONX_HOME_PORT: 'tcp://10.0.0.2:80',
    VALIDONX_HOME_SERVICE_HOST: '10.0.0.2',
    VALIDONX_REDIS_PORT: 'tcp://10.0.0.3:6379',
    VALIDONX_REDIS_SERVICE_PORT: '6379',
    VALIDONX_DATABASE_URL_PORT: 'tcp://10.0.0.4:3306',
    VALIDONX_DATABASE_URL_PORT_3306_TCP_PORT: '3306',
    VALIDONX_DATABASE_URL_SERVICE_PORT_MY_SQL: '3306',
  }

  test('are ignored, and reported', () => {
    const { config, origins, ignored } = loadConfig({ environment: SERVICE })

    expect([config.port, origins.port]).toEqual([8080, 'default'])
    expect([...ignored].sort()).toEqual(Object.keys(SERVICE).sort())
  })

  test('leave the port to .env and to the option', async () => {
    const envFile = await write('VALIDONX_PORT=9000\n')

    expect(loadConfig({ environment: SERVICE, envFile }).config.port).toBe(9000)
    expect(
      loadConfig({ environment: SERVICE, envFile, options: { port: '9001' } }).config.port,
    ).toBe(9001)
  })

  test.for([
    ['VALIDONX_PORT', 'http://10.0.0.1:8080'],
    ['VALIDONX_REDIS_PORT', '6379'],
    ['VALIDONX_SERVICE_HOST', 'db.example'],
    ['VALIDONX_SERVICE_PORT', 'eighty'],
    ['VALIDONX_DATABASE_HOST', '10.0.0.1'],
    ['VALIDONX_DATABASEURL', URL],
    ['Validonx_Port', '80'],
    ['VALIDONX_PORT\u200B', '80'],
  ] as const)('are not taken for %s=%s, a slip', ([variable, value]) => {
    expect(faultsOf({ [variable]: value })).toHaveLength(1)
  })
})

describe('the files of TLS', () => {
  const client = makeCertificate('client')
  const other = makeCertificate('other')
  const locked = client.privateKey
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'hunter2' })
    .toString()

  const faultsWith = async (files: Readonly<Record<string, string | Uint8Array>>) => {
    const environment: Record<string, string> = {}
    for (const [name, content] of Object.entries(files))
      environment[`VALIDONX_DATABASE_${name.toUpperCase()}`] = await write(content)
    return faultsOf(environment)
  }

  test('are taken if a certificate and its key go together', async () => {
    const bundle = `\uFEFFnotes\r\n${client.pem}\n${other.pem}`

    expect(await faultsWith({ ca: bundle, cert: bundle, key: client.key })).toEqual([])
    expect(await faultsWith({ ca: bundle })).toEqual([])
    const both = `${client.pem}${client.key}`.replaceAll('\n', '\r\n')
    expect(await faultsWith({ cert: both, key: both })).toEqual([])
    // as MySQL writes its own
    expect(await faultsWith({ ca: `${client.pem}\0` })).toEqual([])
  })

  test.for([
    ['a key alone', { key: client.key }, 'KEY is set without VALIDONX_DATABASE_CERT'],
    ['a certificate alone', { cert: client.pem }, 'CERT is set without VALIDONX_DATABASE_KEY'],
    [
      'the key of another',
      { cert: client.pem, key: other.key },
      'is not the key of the certificate',
    ],
    [
      'a key with a passphrase',
      { cert: client.pem, key: locked },
      'KEY names a key that is protected',
    ],
    ['a key for a certificate', { cert: client.key, key: client.key }, 'without a certificate'],
    ['a certificate for a key', { cert: client.pem, key: client.pem }, 'without a private key'],
    ['a binary CA', { ca: new X509Certificate(client.pem).raw }, 'CA names a file without a'],
    ['no CA', { ca: 'hello' }, 'CA names a file without a certificate'],
    ['half a CA', { ca: client.pem.slice(0, 200) }, 'CA names a file without a certificate'],
    ['a broken CA', { ca: client.pem.replace(/[A-Z]{2}/, '!!') }, 'CA names a file without'],
  ] as const)('are refused if they are %s', async ([, files, fault]) => {
    expect(await faultsWith(files)).toEqual([expect.stringContaining(fault)])
  })

  test.for([
    ['does not exist', join(folder, 'missing.pem')],
    ['is a folder', folder],
  ] as const)('are refused if one %s', ([fault, path]) => {
    expect(faultsOf({ VALIDONX_DATABASE_CA: path })).toEqual([
      `VALIDONX_DATABASE_CA names a file that ${fault} (from environment)`,
    ])
  })

  test('are refused, and not repeated, if their content is set', () => {
    const faults = faultsOf({
      VALIDONX_DATABASE_CERT: client.pem,
      VALIDONX_DATABASE_KEY: client.key,
    })

    expect(faults).toHaveLength(2)
    expect(faults.join()).toMatch(/must be the path of a PEM file, not its content/)
    expect(faults.join()).not.toContain(client.key.split('\n')[1])
  })
})
