import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { test as base, expect } from 'vitest'
import { RateLimits } from '../../../src/core/access/rate-limits.js'
import { silentLog } from '../../../src/core/log.js'
import { type Certificate, makeCertificate } from '../../support/certificates.js'
import { freePort, RedisServer } from '../../support/redis-server.js'

const ca = makeCertificate('CA of these tests', { isCa: true })
const HOSTS = ['localhost', '127.0.0.1', '[::1]'] as const

/** A Redis that speaks TLS, and presents what each test gives it. */
const test = base
  .extend('folder', { scope: 'file' }, async () => mkdtemp(join(tmpdir(), 'validonx-redis-tls-')))
  .extend('server', { scope: 'file' }, async ({ folder }, { onCleanup }) => {
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    const write = async (certificate: Certificate) => {
      await writeFile(cert, certificate.pem)
      await writeFile(key, certificate.key)
    }
    await writeFile(join(folder, 'ca.pem'), ca.pem)
    await write(makeCertificate('redis', { issuer: ca, names: ['localhost'] }))
    const port = await freePort()
    // biome-ignore format: one option a line
    const server = await RedisServer.start([
      '--bind', '127.0.0.1', '::1',
      '--tls-port', String(port),
      '--tls-cert-file', cert,
      '--tls-key-file', key,
      '--tls-ca-cert-file', join(folder, 'ca.pem'),
      '--tls-auth-clients', 'no',
    ])
    const administrator = new Redis(server.url)
    onCleanup(async () => {
      administrator.disconnect()
      await server[Symbol.asyncDispose]()
    })
    return {
      port,
      present: async (certificate: Certificate) => {
        await write(certificate)
        await administrator.config('SET', 'tls-cert-file', cert)
      },
    }
  })

/** "ready", or the code of the error that keeps Redis away. */
async function outcomeOf(redisUrl: string, redisCa?: string): Promise<string> {
  let report = (_: string) => {}
  const away = new Promise<string>((done) => {
    report = done
  })
  using limits = new RateLimits({
    defaults: { requests: 1, periodSeconds: 1 },
    redisUrl,
    redisCa,
    prefix: 'test',
    log: {
      ...silentLog,
      warn: (_, fields) => report(String((fields?.error as NodeJS.ErrnoException)?.code)),
    },
  })
  return await Promise.race([
    away,
    limits.ready().then(
      () => 'ready',
      () => 'not ready',
    ),
  ])
}

const WRONG_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID'

test.for([
  ['localhost', ['ready', WRONG_NAME, WRONG_NAME]],
  ['127.0.0.1', [WRONG_NAME, 'ready', WRONG_NAME]],
  ['::1', [WRONG_NAME, WRONG_NAME, 'ready']],
] as const)(
  'a rediss URL checks the address: certificate for %s',
  async ([name, expected], { server, folder }) => {
    await server.present(makeCertificate('redis', { issuer: ca, names: [name] }))

    const outcomes = await Promise.all(
      HOSTS.map((host) => outcomeOf(`rediss://${host}:${server.port}`, join(folder, 'ca.pem'))),
    )

    expect(outcomes).toEqual(expected)
  },
)

test('a rediss URL checks the CA and the dates', async ({ server, folder }) => {
  const url = `rediss://localhost:${server.port}`
  const names = ['localhost']
  const day = (from: number) => new Date(Date.now() + from * 86_400_000)

  await server.present(makeCertificate('redis', { issuer: ca, names }))
  expect(await outcomeOf(url)).toBe('SELF_SIGNED_CERT_IN_CHAIN')
  await server.present(
    makeCertificate('redis', { issuer: ca, names, from: day(-3), until: day(-2) }),
  )
  expect(await outcomeOf(url, join(folder, 'ca.pem'))).toBe('CERT_HAS_EXPIRED')
})
