import { describe, expect, test } from 'vitest'
import { mintApiKey } from '../../src/core/access/api-key.js'
import { Keyring, newAppKey } from '../../src/core/crypto/keyring.js'
import { createLog } from '../../src/core/log.js'

const logged = (fields: Readonly<Record<string, unknown>>, message = 'something happened') => {
  const lines: string[] = []
  createLog('debug', (line) => lines.push(line)).error(message, fields)
  expect(lines).toHaveLength(1)
  return lines[0] ?? ''
}

const appKey = newAppKey()
const ring = new Keyring(appKey)
const bytes = Buffer.from('these bytes are a key of 32 byte')

/** Text as it holds a secret, and the secret itself. */
const SECRET_TEXTS: readonly (readonly [string, string])[] = [
  ['mysql://root:hunter2-a@db:3306', 'hunter2-a'],
  ['mysql://root:hun@ter2-b@db:3306', 'ter2-b'],
  ['cannot reach rediss://:hunter2-c@cache:6379/0', 'hunter2-c'],
  ['https://user:hunter2-d@hooks.example.com/path?x=1', 'hunter2-d'],
  ['https://hooks.example.com/?token=hunter2-e&x=1', 'hunter2-e'],
  [`the key is ${mintApiKey()}`, 'vx_[0-9A-Za-z]{30}'],
  ['17|AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCd', 'AbCdEfGhIj'],
  ['Authorization: Bearer hunter2-f-hunter2', 'hunter2-f'],
  ["alter user x identified by 'hunter2-g'", 'hunter2-g'],
  ["create user x identified with caching_sha2_password by 'it''s hunter2-h'", 'hunter2-h'],
  ["create user x identified via mysql_native_password using '*hunter2-i'", 'hunter2-i'],
  ['{"password":"hunter2-\\"j"}', 'hunter2'],
  [`key ${appKey}`, appKey.slice(0, 20).replaceAll('+', '\\+')],
  [`password ${ring.tenantPassword('id', 1)}`, ring.tenantPassword('id', 1).slice(0, 30)],
  ['mysql://root:hun/ter2-k@db:3306', 'ter2-k'],
  ['password=hunter2-l', 'hunter2-l'],
  ['dsn: host=db PASSWORD="hunter2-m" port=1', 'hunter2-m'],
  ['client_secret=hunter2-n', 'hunter2-n'],
  ['X-API-Key: hunter2-o', 'hunter2-o'],
  ['x-webhook-signature: hunter2-p', 'hunter2-p'],
  ['Cookie: a=1; session=hunter2-q', 'hunter2-q'],
  ['{"app_key":"hunter2-r"}', 'hunter2-r'],
  ['{"secrets":["hunter2-s","x"]}', 'hunter2-s'],
  ["{ passphrase: 'hunter2-t' }", 'hunter2-t'],
  ['whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=', 'c2VjcmV0'],
  ['$2y$12$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234', 'abcdefghij'],
]

/** Places where a value may be. */
const PLACES: Readonly<Record<string, (value: unknown) => Readonly<Record<string, unknown>>>> = {
  'a field': (value) => ({ value }),
  'a nested object': (value) => ({ a: { b: { c: value } } }),
  'a list': (value) => ({ list: [1, [value]] }),
  'a map': (value) => ({ map: new Map([['x', value]]) }),
  'a set': (value) => ({ set: new Set([value]) }),
  'a name of a field': (value) => ({ a: { [String(value)]: 1 } }),
  'an error': (value) => ({ error: new Error(String(value)) }),
  'an error in a list': (value) => ({ errors: [{ why: new Error(String(value)) }] }),
  'the cause of an error': (value) => ({
    error: new Error('x', { cause: new Error('y', { cause: new Error(String(value)) }) }),
  }),
  'a cause that is no error': (value) => ({ error: new Error('x', { cause: { why: value } }) }),
  'one of several errors': (value) => ({
    error: new AggregateError([new Error('x'), new Error(String(value))], 'both failed'),
  }),
  'a value with toJSON': (value) => ({ a: { own: value, toJSON: () => ({ leaked: value }) } }),
}

describe('the log', () => {
  test.for(Object.entries(PLACES))('has no secret that is in %s', ([, place]) => {
    for (const [text, secret] of SECRET_TEXTS) {
      const line = logged(place(text))
      expect(line).not.toMatch(new RegExp(secret))
      expect(line).toMatch(/\*\*\*/)
    }
  })

  test('has no secret that is in its message', () => {
    for (const [text, secret] of SECRET_TEXTS)
      expect(logged({}, text)).not.toMatch(new RegExp(secret))
  })

  test.for([
    'password',
    'passwd',
    'secret',
    'clientSecret',
    'token',
    'access_token',
    'apiKey',
    'api_key',
    'X-API-Key',
    'appKey',
    'Authorization',
    'cookie',
    'Set-Cookie',
    'privateKey',
    'passwordHash_password',
    'secret_key',
    'secrets',
    'tokens',
    'apiKeys',
    'pwd',
    'passphrase',
    'credentials',
    'password_confirmation',
    'bindings',
  ])('masks a field called %s, whatever its value looks like', (name) => {
    for (const value of ['plain', ['plain'], { own: 'plain' }, Buffer.from('plain')])
      expect(logged({ login: { [name]: value } })).not.toContain('plain')
  })

  test('keeps what is no secret', () => {
    const line = logged({
      tokens: 3,
      hasPassword: true,
      key: 'vx_H4RQGC',
      tenant: { slug: 'acme', at: new Date(0), missing: undefined, none: null },
      url: new URL('https://hooks.example.com:8443/path'),
      count: 12n,
      said: 'Access denied for user (using password: YES)',
      advice: 'set VALIDONX_PASSWORD_HASH=bcrypt; the token is invalid',
      id: '019ab1c2-0000-7000-8000-000000000000',
    })

    expect(JSON.parse(line)).toMatchObject({
      tokens: 3,
      hasPassword: true,
      key: 'vx_H4RQGC',
      tenant: { slug: 'acme', at: '1970-01-01T00:00:00.000Z', none: null },
      url: 'https://hooks.example.com:8443/path',
      count: '12',
      said: 'Access denied for user (using password: YES)',
      advice: 'set VALIDONX_PASSWORD_HASH=bcrypt; the token is invalid',
      id: '019ab1c2-0000-7000-8000-000000000000',
    })
  })

  test('has neither statement nor values of an error of the driver', () => {
    const text = "select sleep(3), 'hunter2' as v - Connection lost"
    for (const fields of [
      { fatal: true, code: 'PROTOCOL_CONNECTION_LOST' },
      { fatal: true, code: 'ECONNRESET', errno: -104 },
      { errno: 1146, sqlState: '42S02', sqlMessage: "Table 'a.b' doesn't exist" },
      { name: 'KnexTimeoutError' },
      {},
    ]) {
      const error = Object.assign(new Error(text), { sql: text, bindings: ['hunter2'] }, fields)
      expect(logged({ error })).not.toContain('hunter2')
      expect(logged({ error: new Error('x', { cause: error }) })).not.toContain('hunter2')
    }
  })

  test('never has the content of bytes', () => {
    for (const value of [bytes, new Uint8Array(bytes), bytes.buffer, new DataView(bytes.buffer)]) {
      const line = logged({ hash: value, nested: [{ value }] })
      expect(line).not.toContain('these bytes')
      expect(line).not.toContain(String(bytes[0]))
      expect(JSON.parse(line).hash).toMatch(/^\[\d+ bytes\]$/)
    }
  })

  test('ends at a cycle, at a depth and at a width', () => {
    const cyclic: Record<string, unknown> = { name: 'a' }
    cyclic.self = cyclic
    cyclic.list = [cyclic]
    const error: Error = new Error('loop')
    error.cause = error
    const many = new AggregateError([error], 'many')
    many.errors.push(many)
    let deep: unknown = 'bottom'
    for (let level = 0; level < 10_000; level += 1) deep = { deep }
    const wide = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`f${index}`, 'x']))
    const line = logged({
      cyclic,
      error,
      many,
      deep,
      wide,
      list: Array(5_000).fill('y'),
      long: 'z'.repeat(1e6),
    })

    expect(line).toContain('[circular]')
    expect(line).toContain('[too deep]')
    expect(line).not.toContain('bottom')
    expect(line.length).toBeLessThan(60_000)
  })

  test('says the same object twice if it is there twice', () => {
    const shared = { slug: 'acme' }

    expect(JSON.parse(logged({ one: shared, two: shared }))).toMatchObject({
      one: shared,
      two: shared,
    })
  })

  test('is written in spite of a value that cannot be read', () => {
    const broken = {
      get own() {
        throw new Error('no')
      },
    }
    const revoked = Proxy.revocable({}, {})
    revoked.revoke()

    expect(JSON.parse(logged({ broken, proxy: [revoked.proxy], fine: 1 }))).toMatchObject({
      broken: '[unreadable]',
      fine: 1,
    })
  })
})
