import { gzipSync } from 'node:zlib'
import { describe, expect } from 'vitest'
import { test as house } from '../support/house.js'
import { openRawHttp, type RawRequest } from '../support/raw-http.js'
import { openShop } from '../support/shop.js'

const MAX_BODY = 262_144

type Failure = { code: string; message: string; status: number; details: Record<string, string[]> }
type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly data: Record<string, unknown> | undefined
  readonly error: Failure | undefined
}

type Wish = Omit<RawRequest, 'headers' | 'body'> & {
  readonly headers?: readonly string[]
  /** As it stands, or a value to send as JSON. */
  readonly text?: string | Uint8Array
  readonly json?: unknown
  /** JSON unless said otherwise; null sends no such header. */
  readonly type?: string | null
}

/** A shop behind a real socket: lengths, bytes and headers arrive as they do in the world. */
const test = house
  .extend('http', { scope: 'file' }, async ({ app }, { onCleanup }) => {
    const http = await openRawHttp(app)
    onCleanup(() => http[Symbol.asyncDispose]())
    return http
  })
  .extend('shop', { scope: 'file' }, async ({ ctx }) => {
    const shop = await openShop(ctx)
    const license = await shop.issue({ entitlements: { exports: true, 'activations.max': 1_000 } })
    return { ...shop, licenseKey: license.key }
  })
  .extend('send', { scope: 'file' }, async ({ http, shop }) => {
    return async ({ text, json, type = 'application/json', ...wish }: Wish): Promise<Answer> => {
      const body = text ?? (json === undefined ? undefined : JSON.stringify(json))
      const answer = await http.send({
        ...wish,
        path: wish.path.startsWith('/v1') ? wish.path : `/v1/integration${wish.path}`,
        headers: [
          'X-API-Key',
          shop.apiKey,
          ...(body === undefined || type === null ? [] : ['Content-Type', type]),
          ...(wish.headers ?? []),
        ],
        ...(body === undefined ? {} : { body }),
      })
      const { data, error } = JSON.parse(answer.text) as Pick<Answer, 'data' | 'error'>
      return { status: answer.status, headers: answer.headers, data, error }
    }
  })
  .extend('bodies', { scope: 'file' }, async ({ shop: { licenseKey } }) => ({
    '/activations': { license_key: licenseKey, instance_id: 'strict' },
    '/entitlements/check': { license_key: licenseKey, features: ['exports'] },
    '/usage/record': { license_key: licenseKey, metric: 'exports', quantity: 1 },
  }))
  .extend('withoutBody', { scope: 'file' }, async ({ shop, send, bodies }) => {
    const { data } = await send({ path: '/activations', json: bodies['/activations'] })
    const { id } = (data as { activation: { id: string } }).activation
    return [`/licenses/${shop.licenseKey}/validate`, `/activations/${id}/validate`]
  })

/** What an answer comes to, in one line. */
const said = ({ status, error }: Answer): string =>
  error ? `${status} ${error.code}` : `${status}`

const MALFORMED = '400 VALIDATION.MALFORMED_JSON'
const FAILED = '422 VALIDATION.FAILED'

describe('the type of the body', () => {
  test.for([
    'application/json',
    'Application/JSON',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
    'application/json; charset=utf8',
    'application/json; charset=utf-8;',
    "application/json; charset='utf-8'",
    'application/json; version=1',
    'application/json; version=1; charset=utf-8',
    'application/json; boundary=x',
    'application/vnd.api+json',
  ])('%s is taken', async (type, { send, bodies }) => {
    for (const [path, json] of Object.entries(bodies))
      expect((await send({ path, json, type })).status).toBeLessThan(300)
  })

  test.for([
    null,
    '',
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
    'application/json; charset=iso-8859-1',
    'application/json; charset=utf-16',
    'application/json, text/plain',
    'application/json; version=1; charset=utf-16',
    'application/json; charset="utf-8',
  ])(
    '%s is refused, also where no body is needed, and however its length is announced',
    async (type, { send, bodies, withoutBody }) => {
      const wishes = [
        ...Object.entries(bodies).map(([path, json]) => ({ path, json: json as unknown })),
        ...withoutBody.map((path) => ({ path, json: {} })),
      ]
      for (const wish of wishes) {
        for (const isChunked of [false, true])
          expect(said(await send({ ...wish, type, isChunked }))).toBe(
            '415 REQUEST.UNSUPPORTED_MEDIA_TYPE',
          )
      }
    },
  )

  test('is not asked for where there is no body, or an empty one', async ({
    send,
    withoutBody,
  }) => {
    for (const path of withoutBody) {
      const answers = [
        await send({ path }),
        await send({ path, text: '', type: null }),
        await send({ path, headers: ['Content-Type', 'application/json'] }),
        await send({ path, isChunked: true }),
        await send({ path, isChunked: true, headers: ['Content-Type', 'application/json'] }),
      ]
      expect(answers.map(said)).toEqual(['200', '200', '200', '200', '200'])
    }
  })
})

describe('a compressed body', () => {
  test('is refused by its media type, on every endpoint', async ({ send, bodies, withoutBody }) => {
    const wishes = [
      ...Object.entries(bodies).map(([path, json]) => ({ path, json: json as unknown })),
      ...withoutBody.map((path) => ({ path, json: {} })),
    ]
    const answers = []
    for (const { path, json } of wishes) {
      for (const encoding of ['gzip', 'br', 'deflate, gzip'])
        for (const isChunked of [false, true])
          answers.push(
            said(
              await send({
                path,
                text: gzipSync(JSON.stringify(json)),
                isChunked,
                headers: ['Content-Encoding', encoding],
              }),
            ),
          )
      for (const encoding of ['identity', '']) {
        const plain = await send({ path, json, headers: ['Content-Encoding', encoding] })
        expect(plain.status).toBeLessThan(300)
      }
    }

    expect(new Set(answers)).toEqual(new Set(['415 REQUEST.UNSUPPORTED_MEDIA_TYPE']))
  })
})

describe('the size of the body', () => {
  test(`may be ${MAX_BODY} bytes, and not one more, however it is announced`, async ({
    send,
    bodies,
  }) => {
    for (const [path, json] of Object.entries(bodies)) {
      for (const isChunked of [false, true]) {
        const fits = await send({ path, isChunked, text: JSON.stringify(json).padEnd(MAX_BODY) })
        const exceeds = await send({
          path,
          isChunked,
          text: JSON.stringify(json).padEnd(MAX_BODY + 1),
        })
        expect([path, isChunked, fits.status < 300, said(exceeds)]).toEqual([
          path,
          isChunked,
          true,
          '413 REQUEST.TOO_LARGE',
        ])
      }
    }
  })

  test('counts bytes, not characters', async ({ send, shop }) => {
    const metadata = { of: '\u{1f512}'.repeat(66_000) }
    const json = { license_key: shop.licenseKey, instance_id: 'bytes', metadata }

    expect(said(await send({ path: '/activations', json }))).toBe('413 REQUEST.TOO_LARGE')
  })
})

/** A body of a license key, an instance and metadata that is so many levels deep in all. */
const ofDepth = (licenseKey: string, levels: number, [open, close]: readonly [string, string]) =>
  `{"license_key":"${licenseKey}","instance_id":"depth ${levels}","metadata":{"of":${open.repeat(levels - 2)}1${close.repeat(levels - 2)}}}`

describe('the depth of the body', () => {
  test.for([['[', ']'] as const, ['{"a":', '}'] as const])(
    'may be 32 levels of %s, which are stored, and not 33',
    async (brackets, { send, shop }) => {
      const fits = await send({
        path: '/activations',
        text: ofDepth(shop.licenseKey, 32, brackets),
      })
      const answers = []
      for (const levels of [33, 34, 1_000, 40_000])
        answers.push(
          said(
            await send({ path: '/activations', text: ofDepth(shop.licenseKey, levels, brackets) }),
          ),
        )

      expect([200, 201]).toContain(fits.status)
      expect(answers).toEqual([FAILED, FAILED, FAILED, FAILED])
    },
  )

  test('is looked at wherever a body may be', async ({ send, bodies, withoutBody }) => {
    for (const path of [...Object.keys(bodies), ...withoutBody]) {
      const answer = await send({ path, text: '['.repeat(100_000) + ']'.repeat(100_000) })
      expect(said(answer)).toBe(FAILED)
      expect(answer.error?.details).toEqual({ body: ['must be at most 32 levels deep'] })
    }
  })
})

describe('the text of the body', () => {
  test.for([
    ['a byte that begins nothing', [0xff]],
    ['a pair cut in half', [0xc3]],
    ['a byte that does not follow', [0xc3, 0x28]],
    ['half of a surrogate pair', [0xed, 0xa0, 0x80]],
    ['a longer form than needed', [0xc0, 0x80]],
    ['a code point that does not exist', [0xf4, 0x90, 0x80, 0x80]],
    ['Latin-1', [0xe9]],
  ] as const)('that is no UTF-8 is refused: %s', async ([, bytes], { send, shop }) => {
    const [before = '', after = ''] = JSON.stringify({
      license_key: shop.licenseKey,
      instance_id: '#',
    }).split('#')
    const text = Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)])

    expect(said(await send({ path: '/activations', text }))).toBe(MALFORMED)
  })

  test('that is UTF-16 is refused', async ({ send, bodies }) => {
    for (const [path, json] of Object.entries(bodies)) {
      const text = Buffer.from(`\ufeff${JSON.stringify(json)}`, 'utf16le')
      expect(said(await send({ path, text }))).toBe(MALFORMED)
    }
  })

  test.for([
    '{',
    '}',
    '{"license_key":"x",}',
    "{'license_key':'x'}",
    '{license_key:"x"}',
    '{"license_key":undefined}',
    '{"quantity":NaN}',
    '{"quantity":Infinity}',
    '{"quantity":01}',
    '{"quantity":+1}',
    '{"quantity":.5}',
    '{"quantity":0x10}',
    '{"license_key":"x"} {}',
    '{"license_key":"x"}}',
    '{"license_key":"x"}\u0000',
    '// a remark\n{}',
    '{"license_key":"x',
    '{"license_key":"a\nb"}',
    '{"license_key":"\\x41"}',
    '{"license_key":"\\u00"}',
    'license_key=x',
    '<license/>',
    'undefined',
    ' ',
    '\u0000',
  ])('that is no JSON is refused: %j', async (text, { send, bodies, withoutBody }) => {
    for (const path of [...Object.keys(bodies), ...withoutBody]) {
      const answer = await send({ path, text })
      expect([path, said(answer), answer.error?.details]).toEqual([path, MALFORMED, {}])
    }
  })

  test('cannot be left out where an operation needs it', async ({ send, bodies }) => {
    for (const path of Object.keys(bodies)) {
      const answers = [
        await send({ path }),
        await send({ path, text: '', type: null }),
        await send({ path, headers: ['Content-Type', 'application/json'] }),
        await send({
          path,
          isChunked: true,
          headers: ['Content-Type', 'application/json'],
        }),
      ]
      expect(answers.map(said)).toEqual([MALFORMED, MALFORMED, MALFORMED, MALFORMED])
    }
  })

  test.for(['true', '1', '"text"', '[{}]', '[null]'])(
    'must be an object: %s is refused',
    async (text, { send, bodies, withoutBody }) => {
      for (const path of [...Object.keys(bodies), ...withoutBody]) {
        const answer = await send({ path, text })
        expect([path, said(answer), Object.keys(answer.error?.details ?? {})]).toEqual([
          path,
          FAILED,
          ['body'],
        ])
      }
    },
  )
})

describe('the fields of the body', () => {
  test.for([
    'licenseKey',
    'License_Key',
    'license_key ',
    'constructor',
    'toString',
    'valueOf',
    'hasOwnProperty',
    'prototype',
    '__defineGetter__',
    '',
    'a.b',
    '0',
  ])('one that is not known is refused by its name: %j', async (name, { send, bodies }) => {
    for (const [path, json] of Object.entries(bodies)) {
      const answer = await send({
        path,
        json: Object.fromEntries([...Object.entries(json), [name, 1]]),
      })
      expect([path, said(answer)]).toEqual([path, FAILED])
      expect(Object.entries(answer.error?.details ?? {})).toEqual([
        [name === '' ? expect.any(String) : name, ['is not a known field']],
      ])
    }
  })

  test('all that are wrong are named at once', async ({ send }) => {
    const json = { license_key: 7, metric: 'No Code', quantity: 1.5, other: 1, toString: 2 }
    const { error } = await send({ path: '/usage/record', json })

    expect(Object.keys(error?.details ?? {}).sort()).toEqual([
      'license_key',
      'metric',
      'other',
      'quantity',
      'toString',
    ])
  })

  test.for([
    '{"__proto__":{"license_key":"x"}}',
    '{"\\u005f_proto__":{}}',
    '{"license_key":"#","instance_id":"p","metadata":{"__proto__":{"admin":true}}}',
    '{"license_key":"#","instance_id":"p","metadata":{"of":[{"__proto__":null}]}}',
    '[{"__proto__":1}]',
  ])(
    '__proto__ is no field, at any depth: %s',
    async (form, { send, bodies, shop, withoutBody }) => {
      const text = form.replace('#', shop.licenseKey)
      for (const path of [...Object.keys(bodies), ...withoutBody])
        expect([path, said(await send({ path, text }))]).toEqual([path, FAILED])
      expect(({} as Record<string, unknown>).admin).toBeUndefined()
    },
  )

  test('none are taken by an operation that has none', async ({ send, withoutBody, shop }) => {
    for (const path of withoutBody) {
      const refused = await send({ path, json: { license_key: shop.licenseKey } })
      expect([said(refused), Object.keys(refused.error?.details ?? {})]).toEqual([FAILED, ['body']])
      expect(said(await send({ path, json: {} }))).toBe('200')
    }
  })

  test.for([
    ['quantity', '"1"'],
    ['quantity', '1.5'],
    ['quantity', '0'],
    ['quantity', '-1'],
    ['quantity', '1000000001'],
    ['quantity', '1e400'],
    ['quantity', 'null'],
    ['quantity', 'true'],
    ['quantity', '[1]'],
    ['value', '"1"'],
    ['value', '0'],
    ['metric', '""'],
    ['metric', '"Exports"'],
    ['metric', '"exports "'],
    ['metric', 'null'],
    ['metric', '["exports"]'],
    ['license_key', '1'],
    ['license_key', 'null'],
    ['metadata', '[1]'],
    ['metadata', '"{}"'],
    ['idempotency_key', '""'],
    ['idempotency_key', '1'],
  ] as const)('%s cannot be %s', async ([name, value], { send, bodies }) => {
    const others = Object.entries(bodies['/usage/record'])
      .filter(([other]) => other !== name)
      .map(([other, own]) => `${JSON.stringify(other)}:${JSON.stringify(own)}`)
    const text = `{${[...others, `"${name}":${value}`].join(',')}}`
    const answer = await send({ path: '/usage/record', text })

    expect([said(answer), Object.keys(answer.error?.details ?? {})]).toEqual([FAILED, [name]])
  })

  test('an idempotency key in the body has at most 255 characters', async ({ send, bodies }) => {
    const answers = []
    for (const length of [255, 256]) {
      const json = { ...bodies['/usage/record'], idempotency_key: 'body'.padEnd(length, '-') }
      const answer = await send({ path: '/usage/record', json })
      answers.push([said(answer), Object.keys(answer.error?.details ?? {})])
    }

    expect(answers).toEqual([
      ['202', []],
      [FAILED, ['idempotency_key']],
    ])
  })

  test('a number that JSON can say and we cannot keep is refused, not stored as another', async ({
    send,
    shop,
  }) => {
    for (const number of ['1e400', '9007199254740993', '-12345678901234567890']) {
      const text = `{"license_key":"${shop.licenseKey}","instance_id":"huge","metadata":{"of":[${number}]}}`
      const answer = await send({ path: '/activations', text })

      expect([number, said(answer)]).toEqual([number, FAILED])
    }
  })
})

describe('the method', () => {
  test.for(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    '%s is not allowed where only POST is, and Allow says so',
    async (method, { http, shop, bodies, withoutBody }) => {
      for (const path of [...Object.keys(bodies), ...withoutBody]) {
        for (const base of ['/v1/integration', '/api/v1/integration']) {
          const { status, headers, text } = await http.send({
            method,
            path: base + path,
            headers: ['X-API-Key', shop.apiKey],
          })
          expect([path, status, headers.get('Allow')]).toEqual([path, 405, 'POST'])
          if (method !== 'HEAD')
            expect(JSON.parse(text)).toMatchObject({
              error: { code: 'REQUEST.METHOD_NOT_ALLOWED', status: 405 },
            })
        }
      }
    },
  )

  test.for(['/healthz', '/readyz', '/openapi.json', '/docs', '/docs/start.js'])(
    'POST is not allowed at %s, and Allow says what is',
    async (path, { http }) => {
      const { status, headers, text } = await http.send({ path })

      expect([status, headers.get('Allow')]).toEqual([405, 'GET'])
      expect(JSON.parse(text)).toMatchObject({ error: { code: 'REQUEST.METHOD_NOT_ALLOWED' } })
    },
  )

  test.for([
    '/v1/integration/nowhere',
    '/v1/integration/activations/',
    '/v1/integration/licenses//validate',
    '/v1/integration',
    '/v1/integrations/usage/record',
    '/V1/integration/usage/record',
    '/docs/',
    '/nowhere',
  ])('is of no matter where there is nothing: %s', async (path, { http, shop }) => {
    for (const method of ['GET', 'POST']) {
      const { status, text } = await http.send({
        method,
        path,
        headers: ['X-API-Key', shop.apiKey],
      })
      expect([method, status, (JSON.parse(text) as { error: Failure }).error.code]).toEqual([
        method,
        404,
        'ROUTE.NOT_FOUND',
      ])
    }
  })
})

describe('the reference page', () => {
  test.for([
    '/docs/nothing',
    '/docs/..%2f..%2fpackage.json',
    '/docs/constructor',
    '/docs/__proto__',
  ])('has nothing at %s, and says so', async (path, { http }) => {
    const { status, text } = await http.send({ method: 'GET', path })

    expect([status, (JSON.parse(text) as { error: Failure }).error.code]).toEqual([
      404,
      'ROUTE.NOT_FOUND',
    ])
  })
})

describe('the query', () => {
  test.for([
    'x=1',
    'Explain=true',
    'explain[]=true',
    'constructor=1',
    '__proto__=1',
    'toString',
    '%E2%82%AC=1',
    'a=1&b=2&a=3',
  ])(
    'that has a parameter that is not known is refused, by its name, on every operation: %s',
    async (query, { send, bodies, withoutBody }) => {
      const wishes = [
        ...withoutBody.map((path) => ({ path, json: undefined })),
        ...Object.entries(bodies).map(([path, json]) => ({ path, json: json as unknown })),
      ]
      const names = [...new Set(new URLSearchParams(query).keys())]
      const answers = []
      for (const { path, json } of wishes) {
        const answer = await send({ path: `${path}?${query}`, json })
        answers.push([path, said(answer), Object.entries(answer.error?.details ?? {})])
      }

      expect(answers).toEqual(
        wishes.map(({ path }) => [
          path,
          FAILED,
          names.map((name) => [name, ['is not a known parameter']]),
        ]),
      )
    },
  )

  test.for([
    ['explain=true&explain=true', 'must be given once'],
    ['explain=true&explain=false', 'must be given once'],
    ['explain=', 'must be one of true, false'],
    ['explain', 'must be one of true, false'],
    ['explain=TRUE', 'must be one of true, false'],
    ['explain=1', 'must be one of true, false'],
    ['explain=%00', 'must be one of true, false'],
    ['explain=true%20', 'must be one of true, false'],
  ] as const)(
    'gives explain once, as true or false: %s is refused',
    async ([query, why], { send, withoutBody }) => {
      const { status, error } = await send({ path: `${withoutBody[0]}?${query}` })

      expect([status, error?.details]).toEqual([422, { explain: [why] }])
    },
  )

  test.for([
    ['', false],
    ['?', false],
    ['?explain=false', false],
    ['?explain=true', true],
    ['?explain=%74rue', true],
  ] as const)('"%s" is taken', async ([query, explains], { send, withoutBody }) => {
    const { status, data } = await send({ path: `${withoutBody[0]}${query}` })

    expect([status, data && 'checks' in data]).toEqual([200, explains])
  })
})

describe('the Idempotency-Key', () => {
  const PLACES = ['/activations', '/usage/record'] as const

  test.for(PLACES)(
    'of %s is the same key quoted and bare, of up to 255 characters',
    async (path, { send, bodies }) => {
      for (const key of ['k', 'a"b', 'x'.repeat(255), '!~', '{"a":1}']) {
        const [bare, quoted, again] = [
          await send({ path, json: bodies[path], headers: ['Idempotency-Key', key] }),
          await send({ path, json: bodies[path], headers: ['Idempotency-Key', `"${key}"`] }),
          await send({ path, json: bodies[path], headers: ['idempotency-key', key] }),
        ]
        expect([key, bare.status < 300, bare.headers.get('Idempotency-Replayed')]).toEqual([
          key,
          true,
          null,
        ])
        for (const replay of [quoted, again]) {
          expect([replay.status, replay.data]).toEqual([bare.status, bare.data])
          expect(replay.headers.get('Idempotency-Replayed')).toBe('true')
        }
      }
    },
  )

  test.for(PLACES)(
    'of %s cannot be empty, longer, or anything but visible ASCII',
    async (path, { send, bodies }) => {
      const answers = []
      for (const key of [
        '',
        '""',
        'x'.repeat(256),
        `"${'x'.repeat(256)}"`,
        'a b',
        '"a b"',
        'a\tb',
        Buffer.from('\u00e9').toString('latin1'),
      ]) {
        const answer = await send({ path, json: bodies[path], headers: ['Idempotency-Key', key] })
        answers.push([said(answer), answer.error?.details])
      }

      expect(answers).toEqual(
        answers.map(() => [
          FAILED,
          { 'Idempotency-Key': ['must be 1 to 255 visible ASCII characters'] },
        ]),
      )
    },
  )

  test.for(PLACES)(
    'of %s belongs to one request: with another body it is refused',
    async (path, { send, bodies }) => {
      const headers = ['Idempotency-Key', 'one-body']
      await send({ path, json: bodies[path], headers })
      const reordered = Object.fromEntries(Object.entries(bodies[path]).reverse())
      const same = await send({ path, json: reordered, headers })
      const other = await send({ path, json: { ...bodies[path], metadata: { of: 1 } }, headers })

      expect(same.headers.get('Idempotency-Replayed')).toBe('true')
      expect(said(other)).toBe('422 VALIDATION.IDEMPOTENCY_MISMATCH')
    },
  )

  test('of usage is the same in the header and in the body', async ({ send, bodies }) => {
    const path = '/usage/record'
    const json = bodies[path]
    const first = await send({ path, json: { ...json, idempotency_key: 'either' } })
    const second = await send({ path, json, headers: ['Idempotency-Key', '"either"'] })

    expect([second.status, second.data]).toEqual([202, first.data])
    expect(second.headers.get('Idempotency-Replayed')).toBe('true')
  })

  test.for([
    ['a', 'a '],
    ['e\u0301', '\u00e9'],
    ['case', 'CASE'],
    ['ss', '\u00df'],
  ] as const)(
    'of usage %j is not %j: each counts, or is refused for what it is',
    async ([one, other], { send, bodies }) => {
      const json = bodies['/usage/record']
      const ids = []
      for (const idempotency_key of [one, other]) {
        const answer = await send({ path: '/usage/record', json: { ...json, idempotency_key } })
        expect([202, 422]).toContain(answer.status)
        if (answer.data) ids.push((answer.data.usage_event as { id: string }).id)
      }

      expect(new Set(ids).size).toBe(ids.length)
    },
  )

  test.for([
    ['seat', 'seat '],
    ['e\u0301', '\u00e9'],
    ['case', 'CASE'],
  ] as const)(
    'an instance called %j is not the one called %j',
    async ([one, other], { send, shop }) => {
      const ids = []
      for (const instance_id of [one, other]) {
        const json = { license_key: shop.licenseKey, instance_id }
        const answer = await send({ path: '/activations', json })
        expect([201, 422]).toContain(answer.status)
        ids.push((answer.data?.activation as { id: string } | undefined)?.id)
      }

      expect(ids[0]).not.toBe(ids[1])
    },
  )
})
