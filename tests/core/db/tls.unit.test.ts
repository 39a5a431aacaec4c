import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDatabaseUrl } from '../../../src/core/db/server-address.js'
import { createTls, type DriverConnection, type TlsSettings } from '../../../src/core/db/tls.js'
import { type Certificate, makeCertificate } from '../../support/certificates.js'

const ca = makeCertificate('CA of these tests', { isCa: true })
const folder = await mkdtemp(join(tmpdir(), 'validonx-tls-'))
const databaseCa = join(folder, 'ca.pem')
await writeFile(databaseCa, ca.pem)

/** A TLS server that presents whichever certificate it was given last. */
let server: Server
beforeAll(async () => {
  const { key, pem } = makeCertificate('none', { issuer: ca })
  server = createServer({ key, cert: pem }, (socket) => {
    socket.on('error', () => {})
    socket.end()
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
})
afterAll(() => server.close())

/** What the handshake with the server ends with, if the database's URL names this host. */
async function handshake(
  host: string,
  certificate: Certificate,
  settings: TlsSettings = {},
): Promise<string> {
  server.setSecureContext({ key: certificate.key, cert: certificate.pem })
  const { address } = parseDatabaseUrl(`mysql://user@${host}`, { databaseTls: 'off' })
  const { startTls } = createTls(address, { databaseTls: 'verify', databaseCa, ...settings })
  const { port } = server.address() as { port: number }
  const stream = connect(port, '127.0.0.1')
  await new Promise<void>((done) => stream.once('connect', done))
  const driver: DriverConnection = {
    stream,
    packetParser: { execute: () => {} },
    _handleNetworkError: () => {},
  }
  const error = await new Promise<Error | undefined>((done) => startTls(driver, done))
  // the server closes a connection that it has accepted
  if (!error) await once(driver.stream, 'end')
  driver.stream.destroy()
  return error === undefined ? 'secure' : String((error.cause as NodeJS.ErrnoException).code)
}

const WRONG_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID'
const named = (...names: string[]) => makeCertificate('named', { issuer: ca, names })

describe('the name in the certificate', () => {
  test.for([
    ['127.0.0.1', '127.0.0.1', 'localhost'],
    ['127.1', '127.0.0.1', 'localhost'],
    ['[::1]', '::1', 'localhost'],
    ['[0:0:0:0:0:0:0:1]', '::1', '127.0.0.1'],
    ['[FD00::AB]', 'fd00::ab', 'fd00::ac'],
    ['[::ffff:10.0.0.1]', '10.0.0.1', '10.0.0.2'],
    ['[::FFFF:a00:1]', '10.0.0.1', 'localhost'],
    ['[fe80::1%25eth0]', 'fe80::1', 'fe80::2'],
    ['localhost', 'localhost', '127.0.0.1'],
    ['LOCALHOST', 'localhost', 'localhost.example'],
    ['db.example.', 'db.example', 'example'],
    ['DB.Example', 'db.example', 'db.example.com'],
    ['db.example', 'DB.EXAMPLE', 'xdb.example'],
    ['a.db.example', '*.db.example', '*.example'],
    ['db.example', 'db.example', '*.db.example'],
    ['a.b.example', '*.b.example', '*.*.example'],
    ['m%C3%BCnchen.example', 'xn--mnchen-3ya.example', 'munchen.example'],
    ['münchen.example', 'xn--mnchen-3ya.example', 'xn--*.example'],
    ['10.0.0.1', '10.0.0.1', '*.0.0.1'],
  ] as const)('must be that of %s: %s is, %s is not', async ([host, right, wrong]) => {
    expect(await handshake(host, named(right))).toBe('secure')
    expect(await handshake(host, named('one.example', right))).toBe('secure')
    expect(await handshake(host, named(wrong))).toBe(WRONG_NAME)
  })

  test('is not that of an address written as if it were a name', async () => {
    const spelled = makeCertificate('127.0.0.1', { issuer: ca, names: ['db.example'] })

    expect(await handshake('127.0.0.1', spelled)).toBe(WRONG_NAME)
    expect(await handshake('127.0.0.1', named('DNS:127.0.0.1'))).toBe(WRONG_NAME)
    expect(await handshake('[::1]', named('DNS:::1'))).toBe(WRONG_NAME)
    expect(await handshake('127.0.0.1', makeCertificate('127.0.0.1', { issuer: ca }))).toBe(
      WRONG_NAME,
    )
  })

  test('does not matter at the level "verify-ca"', async () => {
    const settings = { databaseTls: 'verify-ca' } as const

    expect(await handshake('127.0.0.1', named('localhost'), settings)).toBe('secure')
    expect(await handshake('db.example', named('other.example'), settings)).toBe('secure')
  })

  test('is asked for by name, and never by address', async () => {
    for (const [host, name, expected] of [
      ['DB.example.', 'db.example', 'db.example'],
      ['127.0.0.1', '127.0.0.1', false],
    ] as const) {
      const accepted = once(server, 'secureConnection')
      await handshake(host, named(name))
      const [socket] = (await accepted) as [TLSSocket]
      expect(socket.servername).toBe(expected)
    }
  })
})

describe.for(['verify', 'verify-ca'] as const)('at the level "%s"', (databaseTls) => {
  const other = makeCertificate('another CA', { isCa: true })
  const names = ['127.0.0.1']
  const day = (from: number) => new Date(Date.now() + from * 86_400_000)
  const expired = { from: day(-3), until: day(-2) }

  test.for([
    ['signed by another CA', { issuer: other }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['self-signed', {}, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['expired', { issuer: ca, ...expired }, 'CERT_HAS_EXPIRED'],
    ['not yet valid', { issuer: ca, from: day(2), until: day(3) }, 'CERT_NOT_YET_VALID'],
  ] as const)('a certificate is refused that is %s', async ([, options, code]) => {
    const certificate = makeCertificate('db', { names, ...options })

    expect(await handshake('127.0.0.1', certificate, { databaseTls })).toBe(code)
  })

  test('a self-signed certificate is accepted that is the CA of the settings', async () => {
    const certificate = makeCertificate('db', { names })
    const own = join(folder, `own-${databaseTls}.pem`)
    await writeFile(own, certificate.pem)

    expect(await handshake('127.0.0.1', certificate, { databaseTls, databaseCa: own })).toBe(
      'secure',
    )
  })

  test('every CA of a bundle is trusted', async () => {
    const bundle = join(folder, `bundle-${databaseTls}.pem`)
    await writeFile(bundle, `${other.pem}\n${ca.pem}`)

    for (const issuer of [ca, other]) {
      const certificate = makeCertificate('db', { names, issuer })
      expect(await handshake('127.0.0.1', certificate, { databaseTls, databaseCa: bundle })).toBe(
        'secure',
      )
    }
  })

  test('NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing', async ({ onTestFinished }) => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    onTestFinished(() => {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    })
    const certificate = makeCertificate('db', { names, issuer: other })

    expect(await handshake('127.0.0.1', certificate, { databaseTls })).not.toBe('secure')
  })
})
