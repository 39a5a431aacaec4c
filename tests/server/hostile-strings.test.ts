import { describe, expect } from 'vitest'
import { rowsOf } from '../../src/core/db/statements.js'
import type { License } from '../../src/core/licensing/license.js'
import { atMost } from '../support/at-most.js'
import {
  faultsOf,
  HOSTILE,
  inHeader,
  inPath,
  leaksOf,
  NAUGHTY,
  OURS,
} from '../support/hostile-strings.js'
import { test as house } from '../support/house.js'
import { fromElsewhere, openShop, rowCounts, type Shop } from '../support/shop.js'

/** A request with a hostile string in one place. */
type Wish = {
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** A value to send as JSON. */
  readonly body?: unknown
  /** A body as it stands. */
  readonly text?: string
}

type Answer = { readonly input: string; readonly sent: string } & Wish & {
    readonly status: number
    readonly answered: string
  }

type Inputs = Readonly<Record<string, (hostile: string, index: number) => Wish | undefined>>

type Activation = {
  readonly id: string
  readonly instance_id: string
  readonly device_fingerprint: string
  readonly metadata: unknown
}

const AT_ONCE = 8
/** Far beyond what they take: about ten seconds together where nothing else runs. */
const PATIENCE = { timeout: 600_000 }

const test = house
  .extend('shop', { scope: 'file' }, async ({ ctx }) => openShop(ctx))
  .extend('license', { scope: 'file' }, async ({ shop }) =>
    shop.issue({ entitlements: { exports: true, 'activations.max': 1_000_000 } }),
  )
  .extend('others', { scope: 'file' }, async ({ shop }) => {
    const wish = { entitlements: { exports: true, 'activations.max': 1_000_000 } }
    return { first: await shop.issue(wish), second: await shop.issue(wish) }
  })
  .extend('attack', { scope: 'file' }, async ({ app, shop }) => {
    const ask = async (input: string, sent: string, wish: Wish): Promise<Answer> => {
      const text = wish.text ?? (wish.body === undefined ? undefined : JSON.stringify(wish.body))
      const response = await app.request(
        `/v1/integration${wish.path}`,
        {
          method: 'POST',
          headers: {
            'X-API-Key': shop.apiKey,
            ...(text === undefined
              ? {}
              : {
                  'Content-Type': 'application/json',
                  'Content-Length': String(Buffer.byteLength(text)),
                }),
            ...wish.headers,
          },
          ...(text === undefined ? {} : { body: text }),
        },
        fromElsewhere(),
      )
      return { ...wish, input, sent, status: response.status, answered: await response.text() }
    }
    /** Sends every hostile string into every input, and answers what came back. */
    return async (inputs: Inputs): Promise<Answer[]> => {
      const inTurn = atMost(AT_ONCE)
      const answers: Promise<Answer>[] = []
      for (const [name, wishFor] of Object.entries(inputs)) {
        for (const [index, sent] of HOSTILE.entries()) {
          const wish = wishFor(sent, index)
          if (wish) answers.push(inTurn(() => ask(name, sent, wish)))
        }
      }
      return Promise.all(answers)
    }
  })

const header = (name: string, text: string): Readonly<Record<string, string>> | undefined => {
  const value = inHeader(text)
  return value === undefined ? undefined : { [name]: value }
}

/** A wish with a header, or none where no header can hold the text. */
function withHeader(name: string, text: string, wish: Wish): Wish | undefined {
  const headers = header(name, text)
  return headers && { ...wish, headers }
}

/** Inputs that every operation has. */
const commonInputs = (wish: Wish): Inputs => ({
  'X-Request-ID': (text) => withHeader('X-Request-ID', text, wish),
  'X-API-Key': (text) => withHeader('X-API-Key', text, wish),
  'Content-Type': (text) =>
    withHeader('Content-Type', text, {
      ...wish,
      text: wish.text ?? JSON.stringify(wish.body ?? {}),
    }),
  'the name of a query parameter': (text) => ({ ...wish, path: `${wish.path}?${inPath(text)}=1` }),
  'the whole body': (text) => ({ path: wish.path, text }),
  'the whole body, as JSON': (text) => ({ path: wish.path, body: text }),
  'the name of a field': (text) => ({
    path: wish.path,
    text: `${JSON.stringify({ ...(wish.body as object) }).slice(0, -1)}${wish.body ? ',' : ''}${JSON.stringify(text)}:1}`,
  }),
})

/** What hostile text may get. 409: the same idempotency key at the same time. */
const EXPECTED = new Set([200, 201, 202, 400, 401, 403, 404, 409, 413, 415, 422])

const counted = (answers: readonly Answer[], ...statuses: readonly number[]): number =>
  answers.filter(({ status }) => statuses.includes(status)).length

const dataOf = <Data>({ answered }: Answer): Data => (JSON.parse(answered) as { data: Data }).data

const hex = (text: string): string => Buffer.from(text).toString('hex')

/** How many rows each table has more than before, of those that have. */
const gained = (
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Record<string, number> =>
  Object.fromEntries(
    Object.entries(after)
      .map(([name, count]) => [name, count - (before[name] ?? 0)] as const)
      .filter(([, more]) => more !== 0),
  )

const bodyOf = ({ body }: Answer): Record<string, unknown> => body as Record<string, unknown>

describe(`the ${NAUGHTY.length} strings of big-list-of-naughty-strings and ${OURS.length} of ours`, () => {
  test('are more than 500, and the detector of leaks sees what they must not bring about', () => {
    const told = [
      'You have an error in your SQL syntax; check the manual of your MariaDB server',
      "insert into `activations` (`id`) values ('1') - Duplicate entry",
      'ER_DUP_ENTRY',
      '{"error":{"message":"TypeError: x is not iterable"}}',
      'at parse (/work/main/src/core/parse.ts:18:5)',
      'Unknown database vxp_x1',
    ]

    expect(HOSTILE.length).toBeGreaterThanOrEqual(500)
    expect(told.filter((text) => leaksOf(text, 'x y').length === 0)).toEqual([])
    expect(leaksOf('{"details":{"drop table licenses":["…"]}}', 'drop table licenses')).toEqual([])
    expect(leaksOf('{"message":"Some fields need another value."}', '')).toEqual([])
  })

  test(
    'cannot hurt the validation of a license',
    PATIENCE,
    async ({ attack, shop, ctx, license }) => {
      const path = `/licenses/${license.key}/validate`
      const before = [await rowCounts(shop.scope.db), await rowCounts(ctx.platform)]

      const answers = await attack({
        'the license key': (text) => ({ path: `/licenses/${inPath(text)}/validate` }),
        'the start of the license key': (text) => ({
          path: `/licenses/${license.key}${inPath(text)}/validate`,
        }),
        explain: (text) => ({ path: `${path}?explain=${inPath(text)}` }),
        ...commonInputs({ path }),
      })

      expect(faultsOf(answers, EXPECTED)).toEqual([])
      const about = (input: string) => answers.filter((each) => each.input === input)
      // an empty one ends the path earlier, and two dots go a folder up
      expect(counted(about('the license key'), 404)).toBe(HOSTILE.length)
      expect(counted(about('explain'), 422) + counted(about('explain'), 200)).toBe(HOSTILE.length)
      // a parameter without a name may pass for none
      const unknown = about('the name of a query parameter').filter(({ sent }) => sent !== '')
      expect(counted(unknown, 422)).toBe(HOSTILE.length - 1)
      expect([await rowCounts(shop.scope.db), await rowCounts(ctx.platform)]).toEqual(before)
    },
  )

  test(
    'cannot hurt an activation, and those that are accepted are stored byte for byte',
    PATIENCE,
    async ({ attack, shop, ctx, license, others }) => {
      const path = '/activations'
      const license_key = license.key
      const platformBefore = await rowCounts(ctx.platform)
      const before = await rowCounts(shop.scope.db)
      const known = await stored(shop)

      const answers = await attack({
        license_key: (text) => ({ path, body: { license_key: text, instance_id: 'a' } }),
        instance_id: (text) => ({ path, body: { license_key, instance_id: text } }),
        fingerprint: (text) => ({
          path,
          body: { license_key: others.first.key, fingerprint: text, metadata: { of: 'alias' } },
        }),
        device_fingerprint: (text, index) => ({
          path,
          body: { license_key, instance_id: `device-${index}`, device_fingerprint: text },
        }),
        'a value of metadata': (text, index) => ({
          path,
          body: {
            license_key,
            instance_id: `value-${index}`,
            metadata: { of: [text, { in: text }] },
          },
        }),
        'a name in metadata': (text, index) => ({
          path,
          body: {
            license_key,
            instance_id: `name-${index}`,
            metadata: Object.fromEntries([[text, { of: Object.fromEntries([[text, index]]) }]]),
          },
        }),
        metadata: (text) => ({ path, body: { license_key, instance_id: 'a', metadata: text } }),
        'Idempotency-Key': (text) =>
          withHeader('Idempotency-Key', text, {
            path,
            body: {
              license_key,
              instance_id: `key-${HOSTILE.indexOf(text)}`,
            },
          }),
        ...commonInputs({ path, body: { license_key: others.second.key, instance_id: 'one' } }),
      })

      expect(faultsOf(answers, EXPECTED)).toEqual([])
      const accepted = answers.filter(({ status }) => status < 300)
      const about = (input: string) => accepted.filter((each) => each.input === input).length
      expect(
        Object.fromEntries(
          [
            'instance_id',
            'fingerprint',
            'device_fingerprint',
            'a value of metadata',
            'a name in metadata',
            'Idempotency-Key',
          ].map((input) => [input, about(input) > 100]),
        ),
      ).toEqual({
        instance_id: true,
        fingerprint: true,
        device_fingerprint: true,
        'a value of metadata': true,
        'a name in metadata': true,
        'Idempotency-Key': true,
      })

      // every answer is about what its request said
      const mixedUp = accepted.filter((answer) => {
        const { activation } = dataOf<{ activation: Activation }>(answer)
        const sent = bodyOf(answer)
        return activation.instance_id !== (sent.instance_id ?? sent.fingerprint)
      })
      expect(mixedUp.map(({ input, sent }) => [input, sent])).toEqual([])

      // and every row is what some request said, byte for byte
      const expected = new Map<string, Stored>()
      for (const answer of accepted) {
        const { activation } = dataOf<{ activation: Activation }>(answer)
        if (answer.status === 201) expected.set(activation.id, storedFrom(answer, activation))
      }
      const rows = await stored(shop)
      const fresh = new Map([...rows].filter(([id]) => !known.has(id)))
      expect(different(fresh, expected)).toEqual([])

      const keys = new Set(
        accepted
          .filter(({ input }) => input === 'Idempotency-Key')
          .map(({ headers }) => unquoted(headers?.['Idempotency-Key'] ?? '')),
      )
      const scopeKeys = await rowsOf<{ scope_key: string }>(
        shop.scope.db,
        'select scope_key from idempotency_keys',
      )
      expect(scopeKeys.map(({ scope_key }) => scope_key).sort()).toEqual(
        [...keys].map((key) => `activations.create/${key}`).sort(),
      )
      expect(gained(before, await rowCounts(shop.scope.db))).toEqual({
        activations: expected.size,
        outbox: expected.size,
        idempotency_keys: keys.size,
      })
      expect(await rowCounts(ctx.platform)).toEqual(platformBefore)
    },
  )

  test(
    'cannot hurt the validation of an activation',
    PATIENCE,
    async ({ attack, shop, ctx, app, license }) => {
      const activated = await app.request('/v1/integration/activations', {
        method: 'POST',
        headers: { 'X-API-Key': shop.apiKey, 'Content-Type': 'application/json' },
        body: JSON.stringify({ license_key: license.key, instance_id: 'to validate' }),
      })
      const { data } = (await activated.json()) as { data: { activation: Activation } }
      const before = [await rowCounts(shop.scope.db), await rowCounts(ctx.platform)]

      const answers = await attack({
        'the id': (text) => ({ path: `/activations/${inPath(text)}/validate` }),
        'the end of the id': (text) => ({
          path: `/activations/${data.activation.id}${inPath(text)}/validate`,
        }),
        ...commonInputs({ path: `/activations/${data.activation.id}/validate` }),
      })

      expect(faultsOf(answers, EXPECTED)).toEqual([])
      expect(
        counted(
          answers.filter(({ input }) => input === 'the id'),
          404,
        ),
      ).toBe(HOSTILE.length)
      expect([await rowCounts(shop.scope.db), await rowCounts(ctx.platform)]).toEqual(before)
    },
  )

  test(
    'cannot hurt a check of entitlements, and are granted to nobody',
    PATIENCE,
    async ({ attack, shop, ctx, license }) => {
      const path = '/entitlements/check'
      const license_key = license.key
      const before = [await rowCounts(shop.scope.db), await rowCounts(ctx.platform)]

      const answers = await attack({
        license_key: (text) => ({ path, body: { license_key: text, features: ['exports'] } }),
        features: (text) => ({ path, body: { license_key, features: [text, 'exports', text] } }),
        'features, as text': (text) => ({ path, body: { license_key, features: text } }),
        entitlement_codes: (text) => ({ path, body: { entitlement_codes: [text] } }),
        ...commonInputs({ path, body: { license_key, features: ['exports'] } }),
      })

      expect(faultsOf(answers, EXPECTED)).toEqual([])
      const granted = answers.filter(({ input, sent, status, answered }) => {
        if (status !== 200) return false
        const { data } = JSON.parse(answered) as {
          data: { entitlements?: { features: Record<string, { granted: boolean }> } } & Record<
            string,
            { entitled?: boolean }
          >
        }
        if (input === 'entitlement_codes') return data[sent]?.entitled !== false
        return input === 'features' && data.entitlements?.features[sent]?.granted !== false
      })
      expect(granted.map(({ input, sent }) => [input, sent])).toEqual([])
      expect([await rowCounts(shop.scope.db), await rowCounts(ctx.platform)]).toEqual(before)
    },
  )

  test(
    'cannot hurt a record of usage, and those that are accepted are stored byte for byte',
    PATIENCE,
    async ({ attack, shop, ctx, license, others }) => {
      const path = '/usage/record'
      const usage = { license_key: license.key, metric: 'exports', quantity: 1 }
      const platformBefore = await rowCounts(ctx.platform)
      const before = await rowCounts(shop.scope.db)

      const answers = await attack({
        license_key: (text) => ({ path, body: { ...usage, license_key: text } }),
        metric: (text) => ({ path, body: { ...usage, metric: text } }),
        quantity: (text) => ({ path, body: { ...usage, quantity: text } }),
        value: (text) => ({ path, body: { ...usage, quantity: undefined, value: text } }),
        'a value of metadata': (text) => ({
          path,
          body: { ...usage, metadata: { of: [text, { in: text }] } },
        }),
        'a name in metadata': (text) => ({
          path,
          body: { ...usage, metadata: Object.fromEntries([[text, { of: [text] }]]) },
        }),
        metadata: (text) => ({ path, body: { ...usage, metadata: text } }),
        idempotency_key: (text) => ({
          path,
          body: { ...usage, license_key: others.first.key, idempotency_key: text },
        }),
        'Idempotency-Key': (text) =>
          withHeader('Idempotency-Key', text, {
            path,
            body: { ...usage, license_key: others.first.key },
          }),
        ...commonInputs({ path, body: { ...usage, license_key: others.second.key } }),
      })

      expect(faultsOf(answers, EXPECTED)).toEqual([])
      const accepted = answers.filter(({ status }) => status === 202)
      // a metric that the license was not granted is not counted, whatever it is called
      expect(accepted.filter(({ input }) => input === 'metric').map(({ sent }) => sent)).toEqual([])
      for (const input of [
        'a value of metadata',
        'a name in metadata',
        'idempotency_key',
        'Idempotency-Key',
      ])
        expect([input, accepted.filter((each) => each.input === input).length > 100]).toEqual([
          input,
          true,
        ])

      // one event for each key: the body's and the header's are the same
      const expected = new Map<string, StoredUsage>()
      const mixedUp: [string, string][] = []
      for (const answer of accepted) {
        const { usage_event } = dataOf<{ usage_event: { id: string } }>(answer)
        const row = usageFrom(answer, [license, others.first, others.second])
        const first = expected.get(usage_event.id)
        if (first && first.key !== row.key) mixedUp.push([answer.input, answer.sent])
        expected.set(usage_event.id, first ?? row)
      }
      expect(mixedUp).toEqual([])
      const rows = await rowsOf<{
        id: string
        license_id: string
        k: string | null
        metadata: string
      }>(
        shop.scope.db,
        'select id, license_id, lower(hex(idempotency_key)) as k, cast(metadata as char) as metadata from usage_events',
      )
      const fresh = new Map(
        rows.map(({ id, license_id, k, metadata }) => [
          id,
          { license: license_id, key: k, metadata: hex(inOrder(asValue(metadata))) },
        ]),
      )
      expect(different(fresh, expected)).toEqual([])
      // a counter for each license that was used, in each month that the test ran in
      const counters = await rowsOf<{ code: string; subject: string; value: unknown }>(
        shop.scope.db,
        "select code, subject, sum(value) as value from usage_counters where subject <> 'tenant' group by code, subject",
      )
      expect(new Set(counters.map(({ code, subject }) => `${code} of ${subject}`))).toEqual(
        new Set([license, others.first, others.second].map(({ id }) => `exports of ${id}`)),
      )
      expect(counters.reduce((sum, { value }) => sum + Number(value), 0)).toBe(expected.size)
      const { usage_counters: _, ...gainedElsewhere } = gained(
        before,
        await rowCounts(shop.scope.db),
      )
      expect(gainedElsewhere).toEqual({ usage_events: expected.size })
      expect(await rowCounts(ctx.platform)).toEqual(platformBefore)
    },
  )

  test('a replay says what the first answer said, whatever names and values metadata has', async ({
    app,
    shop,
    license,
  }) => {
    const pairs = []
    for (const [index, metadata] of [
      { of: { $date: '2020-01-01' } },
      { of: { $date: 'no date' } },
      { $date: '2020-01-01T00:00:00.000Z' },
      { toJSON: 'x', constructor: { name: 'y' } },
      Object.fromEntries(OURS.slice(12, 22).map((text) => [text, text])),
    ].entries()) {
      const ask = async () => {
        const response = await app.request('/v1/integration/activations', {
          method: 'POST',
          headers: {
            'X-API-Key': shop.apiKey,
            'Content-Type': 'application/json',
            'Idempotency-Key': `replay-${index}`,
          },
          body: JSON.stringify({
            license_key: license.key,
            instance_id: `replayed ${index}`,
            metadata,
          }),
        })
        const { data } = (await response.json()) as { data: { activation: Activation } }
        return { status: response.status, activation: data.activation, metadata }
      }
      pairs.push([await ask(), await ask()])
    }

    expect(pairs.map(([first]) => first?.activation.metadata)).toEqual(
      pairs.map(([first]) => first?.metadata),
    )
    expect(pairs.map(([, replay]) => replay)).toEqual(pairs.map(([first]) => first))
  })
})

type Stored = {
  readonly instance: string
  readonly device: string
  readonly metadata: string
  readonly told: string
}
type StoredUsage = {
  readonly license: string
  readonly key: string | null
  readonly metadata: string
}

/** Activations by id, as bytes, and the instance that was told of to the outside. */
async function stored(shop: Shop): Promise<Map<string, Stored>> {
  const rows = await rowsOf<Record<'id' | 'instance' | 'device' | 'metadata' | 'changes', string>>(
    shop.scope.db,
    `select activations.id, lower(hex(instance_id)) as instance, lower(hex(device_fingerprint)) as device,
      cast(metadata as char) as metadata, cast(changes as char) as changes
      from activations join outbox on outbox.object_id = activations.id and outbox.action = 'activation.created'`,
  )
  return new Map(
    rows.map(({ id, instance, device, metadata, changes }) => [
      id,
      {
        instance,
        device,
        metadata: hex(inOrder(asValue(metadata))),
        told: hex((asValue(changes) as { after: { instance_id: string } }).after.instance_id),
      },
    ]),
  )
}

/** As JSON with names in order: MySQL keeps them in an order of its own. */
const inOrder = (value: unknown): string =>
  JSON.stringify(value, (_, own: unknown) =>
    typeof own === 'object' && own !== null && !Array.isArray(own)
      ? Object.fromEntries(Object.entries(own).sort(([one], [other]) => (one < other ? -1 : 1)))
      : own,
  )

const asValue = (column: unknown): unknown =>
  typeof column === 'string' ? JSON.parse(column) : column

/** What the row of an accepted request must hold. */
function storedFrom(answer: Answer, { device_fingerprint }: Activation): Stored {
  const sent = bodyOf(answer)
  const instance = hex(String(sent.instance_id ?? sent.fingerprint))
  return {
    instance,
    device: hex(String(sent.device_fingerprint ?? device_fingerprint)),
    metadata: hex(inOrder(sent.metadata ?? {})),
    told: instance,
  }
}

function usageFrom(answer: Answer, licenses: readonly License[]): StoredUsage {
  const sent = bodyOf(answer)
  const license = licenses.find(({ key }) => key === sent.license_key)?.id ?? ''
  const header = answer.headers?.['Idempotency-Key']
  const key = sent.idempotency_key ?? (header === undefined ? undefined : unquoted(header))
  return {
    license,
    key: key === undefined ? null : hex(String(key)),
    metadata: hex(
      inOrder({
        ...(sent.metadata as object),
        license_key_id: license,
        source: 'integration_api',
      }),
    ),
  }
}

/** The header's value, as HTTP trims it and our two forms give it. */
function unquoted(header: string): string {
  const trimmed = header.replace(/^[\t ]+|[\t ]+$/g, '')
  return /^"(.*)"$/.exec(trimmed)?.[1] ?? trimmed
}

/** Rows that are there and were not asked for, that are missing, or that are not what was sent. */
function different<Row>(
  found: ReadonlyMap<string, Row>,
  expected: ReadonlyMap<string, Row>,
): unknown[] {
  const ids = new Set([...found.keys(), ...expected.keys()])
  return [...ids]
    .map((id) => ({ id, found: found.get(id), expected: expected.get(id) }))
    .filter(({ found: row, expected: wanted }) => JSON.stringify(row) !== JSON.stringify(wanted))
    .slice(0, 20)
}
