import { createServer, type Server } from 'node:https'
import type { LookupFunction } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sendDelivery } from '../../../src/core/webhooks/send-delivery.js'
import { type Certificate, makeCertificate } from '../../support/certificates.js'

const ca = makeCertificate('CA of these tests', { isCa: true })

/** A receiver, and the names that it was asked for. */
let server: Server
const asked: unknown[] = []
beforeAll(async () => {
  const { key, pem } = makeCertificate('none', { issuer: ca })
  server = createServer({ key, cert: pem }, (request, response) => {
    asked.push((request.socket as TLSSocket).servername)
    response.end()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
})
afterAll(() => server.close())

const toReceiver: LookupFunction = (_, options, callback) =>
  options.all
    ? callback(null, [{ address: '127.0.0.1', family: 4 }])
    : callback(null, '127.0.0.1', 4)

async function outcomeOf(
  host: string,
  certificate: Certificate,
  trusted = ca.pem,
): Promise<string> {
  server.setSecureContext({ key: certificate.key, cert: certificate.pem })
  const { port } = server.address() as { port: number }
  const sent = await sendDelivery(
    `https://${host}:${port}/`,
    '{}',
    {},
    {
      allowed: ['127.0.0.0/8'],
      resolve: toReceiver,
      ca: trusted,
    },
  )
  return 'error' in sent ? sent.error : String(sent.status)
}

const named = (...names: string[]) => makeCertificate('receiver', { issuer: ca, names })
const WRONG_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID'

test.for([
  ['hooks.example', 'hooks.example', 'localhost'],
  ['HOOKS.example.', 'hooks.example', 'example'],
  ['a.hooks.example', '*.hooks.example', '*.example'],
  ['127.0.0.1', '127.0.0.1', 'localhost'],
] as const)(
  'a delivery to %s is for its certificate: %s is, %s is not',
  async ([host, right, wrong]) => {
    expect(await outcomeOf(host, named(right))).toBe('200')
    expect(await outcomeOf(host, named(wrong))).toBe(WRONG_NAME)
  },
)

test('a delivery asks for the name, though its address is fixed beforehand', async () => {
  await outcomeOf('hooks.example', named('hooks.example'))
  expect(asked.at(-1)).toBe('hooks.example')
})

test('a delivery is refused by the CA and the dates of the certificate', async () => {
  const names = ['hooks.example']
  const other = makeCertificate('another CA', { isCa: true })
  const day = (from: number) => new Date(Date.now() + from * 86_400_000)
  const expired = { issuer: ca, names, from: day(-3), until: day(-2) }

  expect(await outcomeOf('hooks.example', named(...names), other.pem)).toBe(
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  )
  expect(await outcomeOf('hooks.example', makeCertificate('receiver', { names }))).toBe(
    'DEPTH_ZERO_SELF_SIGNED_CERT',
  )
  expect(await outcomeOf('hooks.example', makeCertificate('receiver', expired))).toBe(
    'CERT_HAS_EXPIRED',
  )
})
