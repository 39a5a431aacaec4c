import { chmod, mkdir, mkdtemp, rename, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Connection } from 'mysql2'
import { test as base, describe, expect, inject } from 'vitest'
import {
  connectPool,
  cutConnection,
  openConnection,
  type Reach,
} from '../../../src/core/db/connect.js'
import { ConnectionBudget } from '../../../src/core/db/connection-budget.js'
import { markOwnerSql, ownerTableSql } from '../../../src/core/db/ownership.js'
import { Provisioner } from '../../../src/core/db/provisioner.js'
import { parseDatabaseUrl } from '../../../src/core/db/server-address.js'
import type { TlsSettings } from '../../../src/core/db/tls.js'
import { type AppError, asAppError } from '../../../src/core/errors.js'
import { silentLog } from '../../../src/core/log.js'
import { type Certificate, makeCertificate } from '../../support/certificates.js'
import { runCli } from '../../support/house.js'
import {
  dropPlatform,
  type Environment,
  freshEnvironment,
  initialize,
  openProvisioner,
} from '../../support/platform.js'
import { freePort } from '../../support/redis-server.js'
import { startThrowAwayServer } from '../../support/throw-away-server.js'

const ca = makeCertificate('CA of these tests', { isCa: true })
const otherCa = makeCertificate('another CA', { isCa: true })
const DAY_MS = 86_400_000
const day = (from: number) => new Date(Date.now() + from * DAY_MS)
const past = { from: day(-3), until: day(-2) }
const HOSTS = { name: 'localhost', v4: '127.0.0.1', v6: '::1' } as const
const names = Object.values(HOSTS)

const urlOf = (host: string, port: number, login = 'tls:tls') =>
  `mysql://${login}@${host.includes(':') ? `[${host}]` : host}:${port}`

/** One server for the file, on the network too; each test has it present a certificate of its own. */
const test = base
  .extend('folder', { scope: 'file' }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'validonx-tls-'))
    await chmod(folder, 0o755)
    await mkdir(join(folder, 'server'))
    await writeFile(join(folder, 'ca.pem'), ca.pem)
    await writeFile(join(folder, 'other-ca.pem'), otherCa.pem)
    return folder
  })
  .extend('server', { scope: 'file' }, async ({ folder }, { onCleanup }) => {
    const presented = join(folder, 'server')
    // MySQL loads no certificate that does not go with the CA of its clients
    const write = async (certificate: Certificate, issuer: Certificate) => {
      await writeFile(join(presented, 'ca.pem'), issuer.pem)
      await writeFile(join(presented, 'cert.pem'), certificate.pem)
      await writeFile(join(presented, 'key.pem'), certificate.key)
    }
    await write(makeCertificate('db', { issuer: ca, names }), ca)
    const port = await freePort()
    const server = await startThrowAwayServer({
      durable: false,
      serverOptions: [
        '--skip-networking=0',
        `--port=${port}`,
        '--bind-address=127.0.0.1,::1',
        `--ssl-ca=${presented}/ca.pem`,
        `--ssl-cert=${presented}/cert.pem`,
        `--ssl-key=${presented}/key.pem`,
      ],
    })
    const administrator = openProvisioner(server.databaseUrl)
    onCleanup(async () => {
      await administrator[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    })
    const isMariaDb = server.version.includes('MariaDB')
    await administrator.run(
      "create user 'tls'@'%' identified by 'tls'; grant all on *.* to 'tls'@'%' with grant option; create user 'x509'@'%' identified by 'x509' require x509; create database one; create database two",
    )
    // a connection of a tenant looks at the marker first
    for (const database of ['one', 'two'])
      await administrator.run(`${ownerTableSql(database)}; ${markOwnerSql(database)}`, [database])
    return {
      port,
      isMariaDb,
      administrator,
      present: async (certificate: Certificate, issuer = ca) => {
        await write(certificate, issuer)
        await administrator.run(isMariaDb ? 'flush ssl' : 'alter instance reload tls')
      },
    }
  })
  .extend('settings', { scope: 'file' }, async ({ folder }) => ({
    databaseTls: 'verify' as const,
    databaseCa: join(folder, 'ca.pem'),
  }))

const reachOf = (url: string, settings: TlsSettings): Reach => ({
  ...parseDatabaseUrl(url, settings),
  connectTimeoutMs: 5_000,
})

const cipherOf = (connection: Connection): Promise<string> =>
  new Promise((done, fail) =>
    connection.query("show status like 'Ssl_cipher'", (error, rows) =>
      error ? fail(error) : done((rows as { Value: string }[])[0]?.Value ?? ''),
    ),
  )

/** What comes of a connection: "secure", "plain text", or the sentence of the refusal. */
async function outcomeOf(url: string, settings: TlsSettings): Promise<string> {
  try {
    const connection = await openConnection(reachOf(url, settings))
    const cipher = await cipherOf(connection)
    cutConnection(connection)
    return cipher === '' ? 'plain text' : 'secure'
  } catch (error) {
    const { code, message } = asAppError(error)
    return `${code}: ${message}`
  }
}

/** Of every host, what comes of a connection to it. */
async function outcomes(port: number, settings: TlsSettings): Promise<Record<string, string>> {
  const entries = Object.entries(HOSTS).map(
    async ([kind, host]) => [kind, await outcomeOf(urlOf(host, port), settings)] as const,
  )
  return Object.fromEntries(await Promise.all(entries))
}

const every = (expected: unknown) => ({ name: expected, v4: expected, v6: expected })
const refused = (reason: string) =>
  expect.stringMatching(new RegExp(`^DATABASE.TLS_REFUSED: .*${reason}`))

describe('the certificate of a database server', () => {
  test.for([
    ['every name', names, every('secure')],
    [
      'the host name alone',
      ['localhost'],
      { ...every(refused('for localhost, not')), name: 'secure' },
    ],
    [
      'the IPv4 address alone',
      ['127.0.0.1'],
      { ...every(refused('for 127.0.0.1,')), v4: 'secure' },
    ],
    [
      'the IPv6 address alone',
      ['::1'],
      { ...every(refused('for 0:0:0:0:0:0:0:1,')), v6: 'secure' },
    ],
    ['another name', ['db.example', '10.0.0.1'], every(refused('for db.example, 10.0.0.1, not'))],
  ] as const)(
    'is checked against the address: %s',
    async ([, names, expected], { server, settings }) => {
      await server.present(makeCertificate('db', { issuer: ca, names }))

      expect(await outcomes(server.port, settings)).toEqual(expected)
      expect(await outcomes(server.port, { ...settings, databaseTls: 'verify-ca' })).toEqual(
        every('secure'),
      )
    },
  )

  test.for([
    ['is signed by another CA', { issuer: otherCa, names }, 'no trusted CA has signed'],
    ['is self-signed', { names }, 'is self-signed'],
    ['has expired', { issuer: ca, names, ...past }, 'has expired'],
    ["isn't valid yet", { issuer: ca, names, from: day(2), until: day(3) }, "isn't valid yet"],
  ] as const)('is refused if it %s', async ([, options, reason], { server, settings, skip }) => {
    skip(!server.isMariaDb && 'from' in options, 'MySQL loads no such certificate')
    const certificate = makeCertificate('db', options)
    await server.present(certificate, 'issuer' in options ? options.issuer : certificate)

    for (const databaseTls of ['verify', 'verify-ca'] as const) {
      expect(await outcomes(server.port, { ...settings, databaseTls })).toEqual(
        every(refused(reason)),
      )
    }
    expect(await outcomes(server.port, { databaseTls: 'off' })).toEqual(every('plain text'))
  })

  test('is not trusted for a CA that the system does not know', async ({ server }) => {
    await server.present(makeCertificate('db', { issuer: ca, names }))

    expect(await outcomes(server.port, { databaseTls: 'verify' })).toEqual(
      every(refused('no trusted CA')),
    )
  })

  test('is verified on this machine too, if there is a CA', async ({ server, folder }) => {
    await server.present(makeCertificate('db', { issuer: ca, names: ['localhost'] }))

    expect(await outcomes(server.port, {})).toEqual(every('plain text'))
    expect(await outcomes(server.port, { databaseCa: join(folder, 'ca.pem') })).toEqual({
      ...every(refused('for localhost, not')),
      name: 'secure',
    })
  })

  test('is named with the address in the refusal', async ({ server, settings }) => {
    await server.present(makeCertificate('db', { issuer: ca, names: ['db.example'] }))

    expect(await outcomes(server.port, settings)).toEqual({
      name: expect.stringContaining(` localhost:${server.port}: `),
      v4: expect.stringContaining(` 127.0.0.1:${server.port}: `),
      v6: expect.stringContaining(` [::1]:${server.port}: `),
    })
  })
})

describe('every way to connect', () => {
  const LIMITS = {
    connections: 1,
    perTenant: 1,
    waiting: 1,
    acquireTimeoutMs: 2_000,
    connectTimeoutMs: 5_000,
    idleTimeoutMs: 60_000,
  }
  const cipher = "show status like 'Ssl_cipher'"
  const ways: Readonly<Record<string, (reach: Reach) => Promise<string[]>>> = {
    'one connection': async (reach) => {
      const connection = await openConnection(reach)
      const found = await cipherOf(connection)
      cutConnection(connection)
      return [found]
    },
    "the provisioner's pool": async (reach) => {
      await using provisioner = new Provisioner(reach, 2, silentLog)
      const [row] = await provisioner.rows<{ Value: string }>(cipher)
      return [row?.Value ?? '']
    },
    "Knex's pool": async (reach) => {
      const db = connectPool(reach, 'one', { max: 1, acquireTimeoutMs: 5_000 }, silentLog)
      try {
        const [rows] = await db.raw(cipher)
        return [rows[0].Value]
      } finally {
        await db.destroy()
      }
    },
    'a connection that is bound to another tenant': async ({ address, login }) => {
      const budget = new ConnectionBudget(address, LIMITS)
      try {
        const found: string[] = []
        for (const database of ['one', 'two']) {
          const lent = await budget.take({
            tenantId: database,
            slug: database,
            database,
            login,
          })
          found.push(await cipherOf(lent.connection))
          budget.giveBack(lent, true)
        }
        expect(budget.gauges.rebound).toBe(1)
        return found
      } finally {
        budget.close()
      }
    },
  }

  test.for(Object.keys(ways))(
    'is encrypted and checks the address: %s',
    async (way, { server, settings }) => {
      const connect = async (host: string): Promise<string> => {
        try {
          const found = await ways[way]?.(reachOf(urlOf(host, server.port), settings))
          return found?.every((cipher) => cipher !== '') ? 'secure' : 'plain text'
        } catch (error) {
          return asAppError(error).code
        }
      }
      await server.present(makeCertificate('db', { issuer: ca, names: ['127.0.0.1'] }))
      const forAddress = [await connect('127.0.0.1'), await connect('localhost')]
      await server.present(makeCertificate('db', { issuer: ca, names: ['localhost'] }))
      const forName = [await connect('127.0.0.1'), await connect('localhost')]

      expect(forAddress).toEqual(['secure', 'DATABASE.TLS_REFUSED'])
      expect(forName).toEqual(['DATABASE.TLS_REFUSED', 'secure'])
    },
  )
})

describe('a login that needs a client certificate', () => {
  const withClient = async (folder: string, certificate: Certificate): Promise<TlsSettings> => {
    const [databaseCert, databaseKey] = [join(folder, 'client.pem'), join(folder, 'client-key.pem')]
    await writeFile(databaseCert, certificate.pem)
    await writeFile(databaseKey, certificate.key)
    return { databaseTls: 'verify', databaseCa: join(folder, 'ca.pem'), databaseCert, databaseKey }
  }

  test.for([
    ['opens with one that the server trusts', { issuer: ca }, 'secure'],
    ['is refused with one of another CA', { issuer: otherCa }, refused('refused our certificate')],
    [
      'is refused with one that has expired',
      { issuer: ca, ...past },
      refused('refused our certificate'),
    ],
  ] as const)('%s', async ([, options, expected], { server, folder }) => {
    await server.present(makeCertificate('db', { issuer: ca, names }))
    const settings = await withClient(folder, makeCertificate('client', options))

    expect(await outcomeOf(urlOf('127.0.0.1', server.port, 'x509:x509'), settings)).toEqual(
      expected,
    )
  })

  test('is refused without one', async ({ server, settings }) => {
    await server.present(makeCertificate('db', { issuer: ca, names }))

    const outcome = await outcomeOf(urlOf('127.0.0.1', server.port, 'x509:x509'), settings)

    expect(outcome).toMatch(/^DATABASE.ACCESS_DENIED: .*VALIDONX_DATABASE_CERT/)
  })
})

describe('a registered server', () => {
  const codeOf = ({ said }: { said: string }) => /\[(\w+\.\w+)\]/.exec(said)?.[1] ?? 'none'

  test('is reached with TLS settings of its own', async ({ server, folder, onTestFinished }) => {
    const environment: Environment = freshEnvironment(inject('databaseUrl'))
    await initialize(environment)
    onTestFinished(async () => {
      if (inject('keepsData')) await dropPlatform(environment)
    })
    const file = (name: string) => join(folder, name)
    const client = makeCertificate('client', { issuer: ca })
    await writeFile(file('eu-ca.pem'), ca.pem)
    await writeFile(file('eu-client.pem'), client.pem)
    await writeFile(file('eu-key.pem'), client.key)
    await server.present(makeCertificate('db', { issuer: ca, names: ['localhost'] }))
    const add = (host: string, ...options: string[]) =>
      runCli(
        environment,
        ['server', 'add', 'eu', '--capacity', '900000', ...options],
        urlOf(host, server.port),
      )
    const own = ['--ca', file('eu-ca.pem'), '--cert', file('eu-client.pem')]

    expect(codeOf(await add('localhost', '--tls', 'verify'))).toBe('DATABASE.TLS_REFUSED')
    expect(codeOf(await add('localhost', '--ca', file('other-ca.pem')))).toBe(
      'DATABASE.TLS_REFUSED',
    )
    expect(codeOf(await add('127.0.0.1', '--ca', file('eu-ca.pem')))).toBe('DATABASE.TLS_REFUSED')
    expect(codeOf(await add('localhost', ...own))).toBe('VALIDATION.FAILED')
    expect((await add('localhost', ...own, '--key', file('eu-key.pem'))).exit).toBe(0)
    expect((await runCli(environment, ['tenant', 'provision', 'acme'])).exit).toBe(0)

    // its tenants show the certificate too
    const [user] = await server.administrator.rows<{ name: string }>(
      "select user as name from mysql.user where user like 'vx%' and host = '%'",
    )
    await server.administrator.run(`alter user '${user?.name}'@'%' require x509`)
    const health = () => runCli(environment, ['tenant', 'health', 'acme'])
    expect((await health()).exit).toBe(0)

    const change = (name: string, ...options: string[]) =>
      runCli(environment, ['server', 'tls', name, ...options])
    expect(codeOf(await change('primary', '--tls', 'off'))).toBe('SERVER.FOLLOWS_CONFIGURATION')
    expect(codeOf(await change('eu', '--ca', file('other-ca.pem')))).toBe('DATABASE.TLS_REFUSED')
    expect((await health()).exit).toBe(0)
    expect((await change('eu', '--tls', 'off')).exit).toBe(0)
    expect((await health()).exit).toBe(1)
    expect((await change('eu', ...own, '--key', file('eu-key.pem'))).exit).toBe(0)
    expect((await health()).exit).toBe(0)

    await rename(file('eu-key.pem'), file('away.pem'))
    expect((await health()).out + (await health()).said).toContain(file('eu-key.pem'))
  })
})

describe('a server that only greets', () => {
  /** Greets as a MySQL server does, with or without the capability of TLS, and then does what it is told. */
  const test = base.extend('greeter', async ({ task: _ }, { onCleanup }) => {
    const listen = async (offersTls: boolean, then: (socket: Socket) => void = () => {}) => {
      const greeting = Buffer.concat([
        Buffer.from('\n8.4.0\0'),
        Buffer.from([1, 0, 0, 0]),
        Buffer.from('12345678\0'),
        Buffer.from([0xff, offersTls ? 0xff : 0xf7, 45, 2, 0, 0x0f, 0x80, 21]),
        Buffer.alloc(10),
        Buffer.from('123456789012\0mysql_native_password\0'),
      ])
      const server = createServer((socket) => {
        socket.on('error', () => {})
        socket.write(Buffer.concat([Buffer.from([greeting.length, 0, 0, 0]), greeting]))
        socket.once('data', () => then(socket))
      }).listen(0, '127.0.0.1')
      onCleanup(() => {
        server.close()
      })
      await new Promise<void>((done) => server.once('listening', done))
      return (server.address() as { port: number }).port
    }
    return { listen }
  })

  test.for(['verify', 'verify-ca'] as const)(
    'is refused at the level "%s" if it offers no TLS',
    async (databaseTls, { greeter }) => {
      const port = await greeter.listen(false)
      const url = urlOf('127.0.0.1', port)
      const offersNone = refused(`at 127.0.0.1:${port}: the server offers none`)

      expect(await outcomeOf(url, { databaseTls })).toEqual(offersNone)
      await using provisioner = new Provisioner(reachOf(url, { databaseTls }), 1, silentLog)
      const error = await provisioner.rows('select 1').catch(asAppError)
      expect(`${(error as AppError).code}: ${(error as AppError).message}`).toEqual(offersNone)
    },
  )

  test('is unreachable if it goes away during the handshake', async ({ greeter }) => {
    const port = await greeter.listen(true, (socket) => socket.destroy())

    expect(await outcomeOf(urlOf('127.0.0.1', port), { databaseTls: 'verify' })).toMatch(
      `DATABASE.UNREACHABLE: The database server at 127.0.0.1:${port} cannot`,
    )
  })

  test('is refused if it does not speak TLS', async ({ greeter }) => {
    const port = await greeter.listen(true, (socket) =>
      socket.write('HTTP/1.1 400 Bad Request\r\n'),
    )

    expect(await outcomeOf(urlOf('127.0.0.1', port), { databaseTls: 'verify' })).toEqual(
      refused('the certificate or the TLS versions do not fit'),
    )
  })
})
