import { isDeepStrictEqual } from 'node:util'
import { describe, expect } from 'vitest'
import { insertInvoice } from '../../src/core/billing/invoice-store.js'
import { findCurrentSubscription } from '../../src/core/billing/subscription-store.js'
import type { Context } from '../../src/core/context.js'
import { rowsOf } from '../../src/core/db/statements.js'
import { newId } from '../../src/core/ids.js'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import { changePlan } from '../../src/core/subscriptions/change-plan.js'
import { insertMissingSnapshots } from '../../src/core/usage/usage-store.js'
import { UsageWriter } from '../../src/core/usage/usage-writer.js'
import { insertDeliveries } from '../../src/core/webhooks/delivery-store.js'
import type { App } from '../../src/server/app.js'
import { tenantOperations } from '../../src/server/tenant/operations.js'
import type { TenantOperation } from '../../src/server/tenant/tenant-operation.js'
import { test as house } from '../support/house.js'
import { type Ask, asking, makeMember, objectOf, type TenantAnswer } from '../support/member.js'
import { fromElsewhere, openShop, type Shop } from '../support/shop.js'

const PATIENCE = { timeout: 300_000 }
const MAX_BODY = 262_144

type Json = Readonly<Record<string, unknown>>
type Make = () => Promise<string>

/** A change that can be asked for: of what, with what, and where it shows. */
type Act = {
  readonly ask: Ask
  readonly make?: Make
  /** Each time another one. */
  readonly body?: () => Json | Promise<Json>
  /** Where the thing is read. */
  readonly look?: (id: string) => string
}

type List = { readonly path: string; readonly add: () => Promise<unknown> }

/** A tenant with an owner. */
type Grounds = {
  readonly ctx: Context
  readonly shop: Shop
  readonly token: string
  readonly ask: Ask
  /** By parameter: makes what it names. */
  readonly makers: Readonly<Record<string, Make>>
  readonly lists: Readonly<Record<string, List>>
  readonly acts: Readonly<Record<string, Act>>
  /** How many events there are, wherever they stand by now. */
  events(): Promise<number>
}

let count = 0
const fresh = (start: string): string => {
  count += 1
  return `${start}${count}`
}

async function openGrounds(ctx: Context, app: App): Promise<Grounds> {
  const shop = await openShop(ctx)
  const { token } = await makeMember(ctx, shop.slug, 'owner')
  const ask = asking(app, token)
  for (const code of ['editor', 'viewer']) await ask('POST', '/products', { code, name: code })
  const makers = makersOf(ctx, shop, ask)
  const { tenant } = shop.scope
  return {
    ...{ ctx, shop, token, ask, makers },
    lists: await listsOf(ctx, shop, makers),
    acts: actsOf(ask, makers, await openPlanned(ctx, app)),
    async events() {
      const found = [
        ...(await rowsOf<{ id: string }>(shop.scope.db, 'select event_id as id from outbox')),
        ...(await rowsOf<{ id: string }>(
          ctx.platform,
          'select event_id as id from audit_logs where tenant_id = ?',
          [tenant.id],
        )),
      ]
      return new Set(found.map(({ id }) => id)).size
    },
  }
}

/** A tenant whose plan may change without harm to others. */
async function openPlanned(ctx: Context, app: App): Promise<Ask> {
  const { slug, scope } = await openShop(ctx)
  await changePlan(ctx, scope, { plan: 'pro' }, { isOperator: true })
  return asking(app, (await makeMember(ctx, slug, 'owner')).token)
}

/** Where nobody is. */
const HOOK = { url: 'https://localhost/hook', events: ['license.created'] }

function makersOf(ctx: Context, shop: Shop, ask: Ask): Readonly<Record<string, Make>> {
  const made = async (path: string, body: unknown, name: string) =>
    objectOf(await ask('POST', path, body), name).id
  return {
    productId: () => made('/products', { code: fresh('p-'), name: 'P' }, 'product'),
    licenseId: async () =>
      (await shop.issue({ product: 'editor', type: 'subscription', expires_at: '2030-01-31' })).id,
    activationId: async () => {
      const { key } = await shop.issue({ product: 'editor' })
      const wish = { license_key: key, instance_id: fresh('i') }
      return (await activateLicense(shop.scope, wish)).result.activation.id
    },
    apiKeyId: () => made('/api-keys', { name: fresh('k') }, 'api_key'),
    webhookId: () => made('/webhooks', HOOK, 'webhook'),
    invoiceId: async () => {
      const { id: tenantId } = shop.scope.tenant
      const subscription = await findCurrentSubscription(ctx.platform, tenantId)
      count += 1
      const at = new Date(Date.UTC(2_000, count))
      const id = newId()
      await insertInvoice(ctx.platform, {
        ...{ id, tenantId, subscriptionId: subscription?.id ?? '', number: fresh('INV-') },
        ...{ status: 'open', currency: 'EUR', totalCents: 4_900, lines: [] },
        ...{ periodStart: at, periodEnd: at, issuedAt: at, dueAt: at, paidAt: undefined },
      })
      return id
    },
    userId: async () => (await makeMember(ctx, shop.slug, 'developer')).id,
    invitationId: () =>
      made('/invitations', { email: `${fresh('g')}@example.com`, role: 'viewer' }, 'invitation'),
  }
}

async function listsOf(
  ctx: Context,
  shop: Shop,
  makers: Grounds['makers'],
): Promise<Grounds['lists']> {
  const usage = new UsageWriter(ctx.tenantDatabases)
  const record = async () => {
    const { key } = await shop.issue({ entitlements: { exports: true } })
    await usage.record(shop.scope, { license_key: key, metric: 'exports', quantity: 1 })
  }
  const snapshot = () => {
    count += 1
    const periodStart = new Date(Date.UTC(2_000, count))
    const of = { id: newId(), code: 'exports', subject: newId(), value: 1, limit: undefined }
    const total = { ...of, periodStart, periodEnd: new Date(Date.UTC(2_000, count + 1)) }
    return insertMissingSnapshots(shop.scope.db, [total], new Date())
  }
  const endpointId = (await makers.webhookId?.()) ?? ''
  const deliver = () => {
    const of = { endpointId, tenantId: shop.scope.tenant.id, payload: '{}' }
    const delivery = { ...of, eventId: newId(), eventType: 'license.created' }
    return insertDeliveries(ctx.platform, [delivery], new Date())
  }
  const make = (name: string) => () => makers[name]?.() ?? Promise.reject(new Error(name))
  return {
    listProducts: { path: '/products', add: make('productId') },
    listLicenses: { path: '/licenses', add: make('licenseId') },
    listActivations: { path: '/activations', add: make('activationId') },
    listUsageCounters: { path: '/usage/counters', add: record },
    listUsageEvents: { path: '/usage/events', add: record },
    listUsageSnapshots: { path: '/usage/snapshots', add: snapshot },
    listApiKeys: { path: '/api-keys', add: make('apiKeyId') },
    listWebhooks: { path: '/webhooks', add: make('webhookId') },
    listDeliveries: { path: `/webhooks/${endpointId}/deliveries`, add: deliver },
    listInvoices: { path: '/invoices', add: make('invoiceId') },
    listMembers: { path: '/members', add: make('userId') },
    listInvitations: { path: '/invitations', add: make('invitationId') },
    listAudit: { path: '/audit', add: make('apiKeyId') },
  }
}

function actsOf(ask: Ask, makers: Grounds['makers'], planned: Ask): Grounds['acts'] {
  const { productId, licenseId, activationId, apiKeyId, webhookId, userId } = makers
  const after =
    (make: Make | undefined, move: string): Make =>
    async () => {
      const id = (await make?.()) ?? ''
      await ask('POST', move.replace('#', id))
      return id
    }
  const product = { ask, make: productId, look: (id: string) => `/products/${id}` } as Act
  const license = { ask, make: licenseId, look: (id: string) => `/licenses/${id}` } as Act
  const webhook = { ask, make: webhookId, look: (id: string) => `/webhooks/${id}` } as Act
  const member = { ask, make: userId, look: (id: string) => `/members/${id}` } as Act
  const apiKey = { ask, make: apiKeyId, look: (id: string) => `/api-keys/${id}` } as Act
  const name = () => fresh('Name ')
  let turn = 0
  return {
    createProduct: { ask, body: () => ({ code: fresh('made-'), name: 'P' }) },
    updateProduct: { ...product, body: () => ({ name: name() }) },
    deleteProduct: product,
    issueLicense: { ask, body: () => ({ product: 'editor', customer_name: name() }) },
    issueLicenses: {
      ask,
      body: () => ({ licenses: [{ product: 'editor', customer_name: name(), quantity: 2 }] }),
    },
    updateLicense: { ...license, body: () => ({ customer_name: name() }) },
    suspendLicense: license,
    reinstateLicense: { ...license, make: after(licenseId, '/licenses/#/suspend') },
    revokeLicense: license,
    renewLicense: {
      ...license,
      body: () => {
        count += 1
        return { days: count }
      },
    },
    moveLicense: {
      ...license,
      body: () => {
        turn += 1
        return { product: turn % 2 === 0 ? 'editor' : 'viewer' }
      },
    },
    revokeActivation: { ask, make: activationId, look: (id) => `/activations/${id}` } as Act,
    createApiKey: { ask, body: () => ({ name: name() }) },
    rotateApiKey: { ...apiKey, body: () => ({ grace_seconds: count }) },
    revokeApiKey: apiKey,
    createWebhook: { ask, body: () => ({ ...HOOK, description: name() }) },
    updateWebhook: { ...webhook, body: () => ({ description: name() }) },
    deleteWebhook: webhook,
    enableWebhook: { ...webhook, make: after(webhookId, '/webhooks/#/disable') },
    disableWebhook: webhook,
    rotateWebhookSecret: {
      ...webhook,
      body: () => {
        count += 1
        return { grace_seconds: count }
      },
    },
    redeliver: {
      ...webhook,
      body: () => {
        count += 1
        return { since: new Date(Date.UTC(2_020, 0, count)) }
      },
    },
    updateSettings: {
      ask,
      body: () => {
        count += 1
        return { 'licenses.trial_days': count }
      },
      look: () => '/settings',
    },
    updateBranding: { ask, body: () => ({ display_name: name() }), look: () => '/branding' },
    changePlan: {
      ask: planned,
      body: async () => {
        const { plan } = objectOf<{ plan: Json }>(
          await planned('GET', '/subscription'),
          'subscription',
        )
        return { plan: plan.code === 'pro' ? 'starter' : 'pro', accept_exceeded: true }
      },
      look: () => '/subscription',
    },
    changeMemberRole: { ...member, body: () => ({ role: 'viewer' }) },
    removeMember: member,
    createInvitation: { ask, body: () => ({ email: `${fresh('i')}@example.com`, role: 'viewer' }) },
  }
}

const test = house
  .extend('grounds', { scope: 'file' }, async ({ ctx, app }) => openGrounds(ctx, app))
  .extend('elsewhere', { scope: 'file' }, async ({ ctx, app }) => openGrounds(ctx, app))
  .extend('raw', { scope: 'file' }, async ({ app, grounds }) => {
    /** Sends a body as it stands, from a caller of any kind. */
    return async (
      method: string,
      path: string,
      text?: string,
      headers: Readonly<Record<string, string>> = {},
      token: string | undefined = grounds.token,
    ) => {
      const response = await app.request(
        path,
        {
          method,
          headers: {
            ...(token === '' ? {} : { Authorization: `Bearer ${token}` }),
            ...(text === undefined ? {} : { 'Content-Type': 'application/json' }),
            ...headers,
          },
          ...(text === undefined ? {} : { body: text }),
        },
        fromElsewhere(),
      )
      const answered = await response.text()
      const { error } = JSON.parse(answered || '{}') as Partial<Pick<TenantAnswer, 'error'>>
      const said = error ? `${response.status} ${error.code}` : `${response.status}`
      return { said, answered, headers: response.headers }
    }
  })

const idsOf = (operations: readonly TenantOperation[]): string[] => operations.map(({ id }) => id)
const reads = tenantOperations.filter(({ method, file }) => method === 'get' && !file)
const writes = tenantOperations.filter(({ method }) => method !== 'get')
const lists = reads.filter(({ query }) => query && 'cursor' in query.shape)
const patches = writes.filter(({ method }) => method === 'patch')
const conditional = tenantOperations.filter(({ isConditional }) => isConditional)
const idempotent = tenantOperations.filter(({ isIdempotent }) => isIdempotent)

function operationCalled(id: string): TenantOperation {
  const found = tenantOperations.find((each) => each.id === id)
  if (!found) throw new Error(`there is no ${id}`)
  return found
}

const pathOf = ({ path }: TenantOperation, id: string): string => path.replace(/\{\w+\}/, id)

/** Where a read finds something, made for it where it names one. */
const placeOf = async (operation: TenantOperation, { makers }: Grounds): Promise<string> =>
  pathOf(operation, (await makers[operation.parameter?.name ?? '']?.()) ?? '')

const said = ({ status, error }: TenantAnswer): string =>
  error ? `${status} ${error.code}` : `${status}`

/** What tells the rows of a list apart. */
const nameOf = ({ id, user_id, code, license_id, period_start }: Json): string =>
  String(id ?? user_id ?? `${code}/${license_id}/${period_start}`)

describe('the tables of this file', () => {
  test('name every list, and every change that is conditional or idempotent', ({ grounds }) => {
    const expected = writes.filter((each) => each.isConditional || each.isIdempotent)

    expect(Object.keys(grounds.lists).sort()).toEqual(idsOf(lists).sort())
    expect(Object.keys(grounds.acts).sort()).toEqual(idsOf(expected).sort())
    expect([lists.length, idempotent.length, conditional.length].map((size) => size > 11)).toEqual([
      true,
      true,
      true,
    ])
  })
})

/** A list, and how a row is added to it. */
function listCalled(id: string, { lists: known }: Grounds): List {
  const found = known[id]
  if (!found) throw new Error(`there is no list ${id}`)
  return found
}

describe('a list', () => {
  test.for(idsOf(lists))(
    '%s: gives 1 to 100 at a time, and says so of all else',
    async (id, { grounds }) => {
      const { path, add } = listCalled(id, grounds)
      await add()
      await add()
      const one = await grounds.ask('GET', `${path}?limit=1`)
      const hundred = await grounds.ask('GET', `${path}?limit=100`)
      const refused = []
      for (const limit of [
        '0',
        '101',
        '999',
        'abc',
        '-1',
        '1.5',
        '',
        '1e1',
        '+1',
        '%201',
        '1&limit=1',
      ])
        refused.push(await grounds.ask('GET', `${path}?limit=${limit}`))
      const unknown = await grounds.ask('GET', `${path}?limits=1&page=2`)

      expect([one.status, one.data.items?.length]).toEqual([200, 1])
      expect([hundred.status, (hundred.data.items?.length ?? 0) > 1]).toEqual([200, true])
      expect(refused.map((each) => [said(each), Object.keys(each.error.details)])).toEqual(
        refused.map(() => ['422 VALIDATION.FAILED', ['limit']]),
      )
      expect([unknown.status, unknown.error.details]).toEqual([
        422,
        { limits: ['is not a known parameter'], page: ['is not a known parameter'] },
      ])
    },
  )

  test.for([
    ...lists.map(({ id }) => [id, '']),
    ...['created_at', 'expires_at', '-expires_at'].map((sort) => ['listLicenses', `&sort=${sort}`]),
  ] as [string, string][])(
    '%s%s: shows every row once, whatever comes in between the pages',
    PATIENCE,
    async ([id, sort], { grounds }) => {
      const { path, add } = listCalled(id, grounds)
      for (let row = 0; row < 7; row += 1) await add()
      const all = async (): Promise<string[]> => {
        const names: string[] = []
        let cursor: string | null | undefined
        do {
          const from = cursor ? `&cursor=${cursor}` : ''
          const { data } = await grounds.ask('GET', `${path}?limit=100${sort}${from}`)
          names.push(...(data.items ?? []).map(nameOf))
          cursor = data.next_cursor
        } while (cursor)
        return names
      }
      for (const limit of [1, 2, 3]) {
        const standing = await all()
        const seen: string[] = []
        let pages = 0
        let cursor: string | null | undefined
        do {
          const from = cursor ? `&cursor=${cursor}` : ''
          const { status, data } = await grounds.ask('GET', `${path}?limit=${limit}${sort}${from}`)
          expect([status, (data.items?.length ?? 0) <= limit]).toEqual([200, true])
          seen.push(...(data.items ?? []).map(nameOf))
          cursor = data.next_cursor
          pages += 1
          if (pages <= 3) await add()
        } while (cursor)

        expect(new Set(seen).size).toBe(seen.length)
        expect(standing.filter((name) => !seen.includes(name))).toEqual([])
        // in the order in which they stand
        expect(seen.filter((name) => standing.includes(name))).toEqual(standing)
      }
    },
  )

  test('takes no cursor but its own', PATIENCE, async ({ grounds }) => {
    const cursors = new Map<string, string>()
    for (const [id, { path, add }] of Object.entries(grounds.lists)) {
      for (let row = 0; row < 2; row += 1) await add()
      const { data } = await grounds.ask('GET', `${path}?limit=1`)
      cursors.set(id, data.next_cursor ?? '')
    }
    const taken: string[] = []
    for (const [id, { path }] of Object.entries(grounds.lists)) {
      const own = await grounds.ask('GET', `${path}?cursor=${cursors.get(id)}`)
      if (own.status !== 200) taken.push(`${id} refuses its own: ${said(own)}`)
      for (const [other, cursor] of cursors) {
        if (other === id) continue
        const answer = await grounds.ask('GET', `${path}?cursor=${cursor}`)
        if (said(answer) !== '422 VALIDATION.FAILED')
          taken.push(`${id} takes that of ${other}: ${said(answer)}`)
      }
    }

    expect(taken).toEqual([])
  })

  test.for(idsOf(lists))('%s: takes no cursor that nobody was given', async (id, { grounds }) => {
    const { path, add } = listCalled(id, grounds)
    for (let row = 0; row < 2; row += 1) await add()
    const { data } = await grounds.ask('GET', `${path}?limit=1`)
    const own = data.next_cursor ?? ''
    const [order, ...place] = JSON.parse(Buffer.from(own, 'base64url').toString()) as unknown[]
    const made = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString('base64url')
    const garbage = [
      ...['', 'x', '%00', '%C3%A9', 'null', 'e30', made(), made(order), `${own.slice(0, -4)}AAAA`],
      made(order, ...place, 'x'),
      made(...place),
      ...place.flatMap((_, index) =>
        ['x', '', ' ', '\u00e9', '\u0000', '1e400', "' or 1=1 -- ", 7, {}, ['x']].map((part) =>
          made(order, ...place.with(index, part)),
        ),
      ),
      made(order, null, ...place.slice(1)),
    ]
    const taken = []
    for (const cursor of garbage) {
      const answer = await grounds.ask('GET', `${path}?cursor=${cursor}`)
      const isRefused = said(answer) === '422 VALIDATION.FAILED' && 'cursor' in answer.error.details
      if (!isRefused)
        taken.push([Buffer.from(cursor, 'base64url').toString(), cursor, said(answer)])
    }

    expect(taken).toEqual([])
  })
})

describe('a read', () => {
  test.for(idsOf(reads.filter(({ isConditional, isTagged }) => isConditional || isTagged)))(
    '%s: has a version, and is not repeated to who has it',
    async (id, { grounds }) => {
      const path = await placeOf(operationCalled(id), grounds)
      const first = await grounds.ask('GET', path)
      const etag = first.headers.get('ETag') ?? ''
      const again = await grounds.ask('GET', path)
      const askedWith = async (tags: string) => {
        const answer = await grounds.ask('GET', path, undefined, { 'If-None-Match': tags })
        return [tags, answer.status, answer.text === '', answer.headers.get('ETag')]
      }
      // what changes with the clock as well has a version, and is shown each time
      const isSeen = operationCalled(id).isConditional === true
      const seen = [etag, `W/${etag}`, `"x", ${etag}`, `"x",W/${etag} , "y"`, '*']
      const unseen = ['"x"', 'W/"x"', etag.replaceAll('"', ''), `${etag}x`]

      expect(first.status).toBe(200)
      expect(etag).toMatch(/^"[\x21\x23-\x7e]+"$/)
      expect(again.headers.get('ETag')).toBe(etag)
      expect(await Promise.all(seen.map(askedWith))).toEqual(
        seen.map((tags) => [tags, isSeen ? 304 : 200, isSeen, etag]),
      )
      expect(await Promise.all(unseen.map(askedWith))).toEqual(
        unseen.map((tags) => [tags, 200, false, etag]),
      )
    },
  )

  test('answers alike under both bases', async ({ grounds, raw }) => {
    const different: string[] = []
    for (const operation of reads) {
      const path = await placeOf(operation, grounds)
      const [one, other] = [
        await raw('GET', `/v1/tenant${path}`),
        await raw('GET', `/api/v1/tenant${path}`),
      ]
      const dataOf = ({ answered }: typeof one) => (JSON.parse(answered) as { data: Json }).data
      if (one.said !== '200' || !isDeepStrictEqual(dataOf(one), dataOf(other)))
        different.push(`${operation.id}: ${one.said} ${other.said}`)
    }

    expect(different).toEqual([])
  })

  test('takes no parameter that it does not know, and none twice', async ({ grounds }) => {
    const taken: string[] = []
    for (const operation of reads) {
      const path = await placeOf(operation, grounds)
      const names = Object.keys(operation.query?.shape ?? {})
      const queries = ['nonsense=1', 'constructor=1', ...names.map((name) => `${name}=1&${name}=1`)]
      for (const query of queries) {
        const answer = await grounds.ask('GET', `${path}?${query}`)
        const [name = ''] = query.split('=')
        if (answer.status !== 422 || !Object.hasOwn(answer.error.details, name))
          taken.push(`${operation.id}?${query}: ${said(answer)}`)
      }
    }

    expect(taken).toEqual([])
  })

  test('and a change give times in UTC, as RFC 3339 has them', PATIENCE, async ({ grounds }) => {
    const times: (readonly [string, string, string])[] = []
    const collect = (id: string, value: unknown, name = ''): void => {
      if (typeof value === 'string' && /_(at|start|end)$/.test(name)) times.push([id, name, value])
      else if (typeof value === 'object' && value !== null)
        for (const [key, own] of Object.entries(value)) collect(id, own, key)
    }
    for (const { add } of Object.values(grounds.lists)) await add()
    for (const operation of reads)
      collect(operation.id, (await grounds.ask('GET', await placeOf(operation, grounds))).data)
    for (const [id, { ask, make, body }] of Object.entries(grounds.acts)) {
      const operation = operationCalled(id)
      const path = pathOf(operation, (await make?.()) ?? '')
      collect(id, (await ask(operation.method.toUpperCase(), path, await body?.())).data)
    }

    const form = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/
    expect(times.filter(([, , text]) => !form.test(text))).toEqual([])
    expect(new Set(times.map(([id]) => id)).size).toBeGreaterThan(30)
  })
})

/** One who acts on something, as often as they like, and sees what came of it. */
async function actor(id: string, { acts }: Grounds) {
  const act = acts[id]
  if (!act) throw new Error(`there is no act for ${id}`)
  const operation = operationCalled(id)
  const method = operation.method.toUpperCase()
  const name = (await act.make?.()) ?? ''
  const look = () => act.ask('GET', act.look?.(name) ?? '')
  return {
    success: Number(Object.keys(operation.answers)[0]),
    look,
    etag: async () => (await look()).headers.get('ETag') ?? '',
    body: async () => act.body?.(),
    do: async (headers: Readonly<Record<string, string>>, body?: unknown) =>
      act.ask(method, pathOf(operation, name), body ?? (await act.body?.()), headers),
  }
}

describe('a change with If-Match', () => {
  const changes = idsOf(conditional.filter(({ method }) => method !== 'get'))

  test.for(changes)('%s: that comes too late changes nothing', async (id, { grounds }) => {
    const { look, etag, do: change } = await actor(id, grounds)
    const [before, tag] = [await look(), await etag()]
    const events = await grounds.events()
    const answers = []
    for (const stale of ['"stale"', `W/${tag}`, `"x", W/${tag}`, tag.replaceAll('"', ''), '""'])
      answers.push(said(await change({ 'If-Match': stale })))
    const after = await look()

    expect(answers).toEqual(answers.map(() => '412 REQUEST.PRECONDITION_FAILED'))
    expect([after.data, await etag(), await grounds.events()]).toEqual([before.data, tag, events])
  })

  test.for(changes)('%s: that names the version is made', async (id, { grounds }) => {
    for (const form of ['#', '*', '"x", #', '"x",# ,W/"y"', ' * ']) {
      const { success, look, etag, do: change } = await actor(id, grounds)
      const tag = await etag()
      const answer = await change({ 'If-Match': form.replace('#', tag) })
      const isGone = operationCalled(id).method === 'delete'

      expect([form, said(answer)]).toEqual([form, `${success}`])
      if (isGone) expect((await look()).status).toBe(404)
      else {
        expect(await etag()).not.toBe(tag)
        expect(answer.headers.get('ETag')).toBe(await etag())
      }
    }
  })

  test.for(changes)('%s: of two that race one is made', async (id, { grounds }) => {
    for (let round = 0; round < 3; round += 1) {
      const { success, etag, do: change } = await actor(id, grounds)
      const headers = { 'If-Match': await etag() }
      const statuses = (await Promise.all([change(headers), change(headers)]))
        .map(({ status }) => status)
        .sort()

      // what is gone has no version
      const late = operationCalled(id).method === 'delete' ? [404, 412] : [412]
      expect(statuses[0]).toBe(success)
      expect(late).toContain(statuses[1])
    }
  })
})

describe('a change with Idempotency-Key', () => {
  test.for(idsOf(idempotent))(
    '%s: is made once, and its repeat gets the same answer',
    async (id, { grounds }) => {
      const { success, body, do: change } = await actor(id, grounds)
      const headers = { 'Idempotency-Key': fresh('twice-') }
      const same = await body()
      const before = await grounds.events()
      const first = await change(headers, same)
      const once = await grounds.events()
      const repeats = [
        await change(headers, same),
        await change({ 'Idempotency-Key': `"${headers['Idempotency-Key']}"` }, same),
      ]

      expect([said(first), first.headers.get('Idempotency-Replayed')]).toEqual([`${success}`, null])
      expect(once).toBeGreaterThan(before)
      for (const repeat of repeats) {
        expect([said(repeat), repeat.data]).toEqual([`${success}`, first.data])
        expect(repeat.headers.get('Idempotency-Replayed')).toBe('true')
        expect(repeat.headers.get('ETag')).toBe(first.headers.get('ETag'))
      }
      expect(await grounds.events()).toBe(once)
    },
  )

  test.for(idsOf(idempotent))(
    '%s: is another with another body or for another thing, and is refused',
    async (id, { grounds }) => {
      const [one, other] = [await actor(id, grounds), await actor(id, grounds)]
      const headers = { 'Idempotency-Key': fresh('other-') }
      const first = await one.do(headers)
      const before = await grounds.events()
      const second = await other.do(headers)

      expect(said(first)).toBe(`${one.success}`)
      expect(said(second)).toBe('422 VALIDATION.IDEMPOTENCY_MISMATCH')
      expect(await grounds.events()).toBe(before)
    },
  )

  test.for(idsOf(idempotent))(
    '%s: of twenty that race with one key one is made',
    PATIENCE,
    async (id, { grounds }) => {
      const alone = await actor(id, grounds)
      const start = await grounds.events()
      await alone.do({})
      const effect = (await grounds.events()) - start

      const { success, body, do: change } = await actor(id, grounds)
      const headers = { 'Idempotency-Key': fresh('race-') }
      const same = await body()
      const before = await grounds.events()
      const answers = await Promise.all(Array.from({ length: 20 }, () => change(headers, same)))
      const made = answers.filter(({ status }) => status === success)
      const waited = answers.filter(({ status }) => status !== success)

      expect(new Set(waited.map(said))).toEqual(
        new Set(waited.map(() => '409 VALIDATION.IDEMPOTENCY_IN_PROGRESS')),
      )
      const originals = made.filter(({ headers: of }) => of.get('Idempotency-Replayed') === null)
      expect(originals).toHaveLength(1)
      for (const { data } of made) expect(data).toEqual(originals[0]?.data)
      expect((await grounds.events()) - before).toBe(effect)
    },
  )

  test.for(idsOf(idempotent))(
    '%s: is no repeat of what another tenant did with the same key',
    async (id, { grounds, elsewhere }) => {
      const key = fresh('tenants-')
      const [ours, theirs] = [await actor(id, grounds), await actor(id, elsewhere)]
      const same = await ours.body()
      const first = await ours.do({ 'Idempotency-Key': key }, same)
      const before = await elsewhere.events()
      const second = await theirs.do({ 'Idempotency-Key': key }, same)

      expect([said(first), said(second)]).toEqual([`${ours.success}`, `${ours.success}`])
      expect(second.headers.get('Idempotency-Replayed')).toBeNull()
      expect(await elsewhere.events()).toBeGreaterThan(before)
    },
  )

  test.for(idsOf(idempotent))(
    '%s: has a key of 1 to 255 visible characters',
    async (id, { grounds }) => {
      const before = await grounds.events()
      const { success, do: change } = await actor(id, grounds)
      const made = await grounds.events()
      const refused = []
      for (const key of ['x'.repeat(256), `"${'x'.repeat(256)}"`, '', '""', 'a b', '\u00e9'])
        refused.push(await change({ 'Idempotency-Key': key }))
      const untouched = await grounds.events()
      const longest = await change({ 'Idempotency-Key': fresh('k').padEnd(255, '-') })

      expect(refused.map((each) => [said(each), Object.keys(each.error.details)])).toEqual(
        refused.map(() => ['422 VALIDATION.FAILED', ['Idempotency-Key']]),
      )
      expect([untouched, before <= made]).toEqual([made, true])
      expect(said(longest)).toBe(`${success}`)
    },
  )

  test.for([
    ['16 MiB', { metadata: { of: 'x'.repeat(16_384 - '{"of":""}'.length) } }],
    [
      '36 MiB',
      {
        entitlements: Object.fromEntries(
          Array.from({ length: 100 }, (_, index) => [
            `${index}`.padStart(100, 'n'),
            'v'.repeat(255),
          ]),
        ),
      },
    ],
  ] as const)(
    'is kept, or refused, also where its answer is large: %s',
    PATIENCE,
    async ([, wish], { grounds }) => {
      const body = { licenses: [{ product: 'editor', quantity: 1_000, ...wish }] }
      const headers = { 'Idempotency-Key': fresh('large-') }
      const answers = [
        await grounds.ask('POST', '/licenses/batch', body, headers),
        await grounds.ask('POST', '/licenses/batch', body, headers),
      ]

      expect(answers.map(({ status }) => [201, 413, 422].includes(status))).toEqual([true, true])
      expect(answers[1]?.data).toEqual(answers[0]?.data)
    },
  )

  test('leaves no secret in what is kept for its repeat', async ({ ctx, grounds }) => {
    const secrets: string[] = []
    for (const id of [
      'createApiKey',
      'rotateApiKey',
      'createWebhook',
      'rotateWebhookSecret',
      'createInvitation',
    ]) {
      const { body, do: change } = await actor(id, grounds)
      const headers = { 'Idempotency-Key': fresh('secret-') }
      const same = await body()
      const { data } = await change(headers, same)
      secrets.push(String(data.secret ?? data.token))
      expect((await change(headers, same)).data).toEqual(data)
    }
    const kept = [
      ...(await rowsOf<Json>(ctx.platform, 'select * from idempotency_keys')),
      ...(await rowsOf<Json>(grounds.shop.scope.db, 'select * from idempotency_keys')),
    ].map((row) => Object.values(row).map(String).join(' '))

    expect(secrets.map((secret) => /^(vx_|whsec_|vxi_)/.exec(secret)?.[0])).toEqual([
      'vx_',
      'vx_',
      'whsec_',
      'whsec_',
      'vxi_',
    ])
    expect(kept.length).toBeGreaterThanOrEqual(secrets.length)
    // What is sealed is random letters, in which "vx_" may stand by chance: it is looked into as bytes, for the secrets alone.
    const sealed = /\bv1\.[0-9a-f]{16}\.([\w-]+)/g
    const plain = kept.map((row) => row.replace(sealed, ''))
    const bytes = kept.flatMap((row) => [...row.matchAll(sealed)].map(([, text]) => text ?? ''))
    expect(bytes.length).toBeGreaterThanOrEqual(secrets.length)
    expect(plain.filter((row) => /vx_[0-9A-Za-z]{8}|whsec_|vxi_/.test(row))).toEqual([])
    expect(
      bytes.filter((text) =>
        secrets.some((secret) => Buffer.from(text, 'base64url').includes(secret)),
      ),
    ).toEqual([])
    const encoded = secrets.flatMap((secret) => [secret, Buffer.from(secret).toString('base64')])
    expect(kept.filter((row) => encoded.some((secret) => row.includes(secret)))).toEqual([])
  })
})

/** Fields that null takes away, each with a value, and what stands then; undefined is what stood before. */
const REMOVABLE: Readonly<Record<string, Readonly<Record<string, readonly [unknown, unknown]>>>> = {
  updateProduct: { description: ['What it is', null] },
  updateLicense: {
    starts_at: ['2025-01-01T00:00:00.000Z', null],
    expires_at: ['2031-12-31T00:00:00.000Z', null],
    customer_name: ['Carol', null],
    customer_email: ['c@example.com', null],
  },
  updateWebhook: { description: ['What it is for', null] },
  updateSettings: {
    'licenses.default_type': ['trial', undefined],
    'licenses.default_grace_days': [9, undefined],
    'licenses.subscription_days': [99, undefined],
    'licenses.trial_days': [9, undefined],
  },
  updateBranding: {
    logo_url: ['https://example.com/logo.svg', null],
    primary_color: ['#0f766e', undefined],
    accent_color: ['#0f766e', undefined],
    support_email: ['help@example.com', null],
    support_url: ['https://example.com/help', null],
  },
}

/** The one object of an answer. */
const objectIn = ({ data }: TenantAnswer): Json =>
  (Object.values(data).find((each) => typeof each === 'object') ?? {}) as Json

describe('a merge patch', () => {
  test.for(idsOf(patches))('%s: names no field that there is not', async (id, { grounds }) => {
    const { look, body, do: change } = await actor(id, grounds)
    const before = await look()
    const names = ['nonsense', 'id', 'created_at', 'constructor', 'toString', 'tenant_id']
    const answers = []
    for (const name of names) answers.push(await change({}, { ...(await body()), [name]: 'x' }))

    expect(answers.map((each) => [said(each), each.error.details])).toEqual(
      names.map((name) => ['422 VALIDATION.FAILED', { [name]: ['is not a known field'] }]),
    )
    expect((await look()).data).toEqual(before.data)
  })

  const optional = patches.filter(({ id }) => !['changePlan', 'changeMemberRole'].includes(id))

  test.for(idsOf(optional))('%s: of nothing leaves what is shown', async (id, { grounds }) => {
    const { look, do: change } = await actor(id, grounds)
    const { updated_at: _, ...before } = objectIn(await look())
    const answer = await change({}, {})
    const { updated_at: __, ...after } = objectIn(await look())

    expect([said(answer), after]).toEqual(['200', before])
  })

  test.for(idsOf(optional))(
    '%s: of nothing is no change: its version stands, and no event tells of one',
    async (id, { grounds }) => {
      const { look, etag, do: change } = await actor(id, grounds)
      const [before, tag, events] = [await look(), await etag(), await grounds.events()]
      await change({}, {})

      expect([(await look()).data, await etag()]).toEqual([before.data, tag])
      expect(await grounds.events()).toBe(events)
    },
  )

  test('has its table for every patch of what can be taken away', () => {
    expect(Object.keys(REMOVABLE).sort()).toEqual(idsOf(optional).sort())
  })

  test.for(Object.entries(REMOVABLE))(
    '%s: keeps what it does not name, and null takes away',
    async ([id, fields], { grounds }) => {
      const { look, do: change } = await actor(id, grounds)
      const shown = async () => objectIn(await look())
      const nothing = Object.fromEntries(Object.keys(fields).map((name) => [name, null]))
      await change({}, nothing)
      const empty = await shown()
      const set = Object.fromEntries(Object.entries(fields).map(([name, [value]]) => [name, value]))
      await change({}, set)
      const full = await shown()

      expect(full).toMatchObject(set)
      for (const [name, [value, removed = empty[name]]] of Object.entries(fields)) {
        const gone = await change({}, { [name]: null })
        expect([name, said(gone), await shown()]).toEqual([
          name,
          '200',
          { ...full, [name]: removed, ...touched(await shown()) },
        ])
        await change({}, { [name]: value })
        expect(await shown()).toEqual({ ...full, ...touched(await shown()) })
      }
    },
  )

  test.for(['updateProduct', 'updateLicense'])(
    '%s: merges metadata by name at every depth',
    async (id, { grounds }) => {
      const { look, do: change } = await actor(id, grounds)
      const metadata = async (patch: Json) => {
        await change({}, { metadata: patch })
        return objectIn(await look()).metadata
      }

      expect(await metadata({ a: { b: 1, c: { d: [1, null] } }, e: 'x' })).toEqual({
        a: { b: 1, c: { d: [1, null] } },
        e: 'x',
      })
      expect(await metadata({ a: { b: null, c: { f: true } } })).toEqual({
        a: { c: { d: [1, null], f: true } },
        e: 'x',
      })
      expect(await metadata({ a: { c: { d: [] } }, e: { g: { h: null } } })).toEqual({
        a: { c: { d: [], f: true } },
        e: { g: {} },
      })
      expect(await metadata({ a: null, e: 0, none: null })).toEqual({ e: 0 })
      expect(await metadata({})).toEqual({ e: 0 })
    },
  )
})

/** What every change of a thing changes. */
const touched = ({ updated_at }: Json): Json => (updated_at === undefined ? {} : { updated_at })

describe('a body', () => {
  const withBody = writes.filter(({ body }) => body)
  /** A path that leads to something, and a body that it takes. */
  const wishFor = async (operation: TenantOperation, grounds: Grounds) => {
    const make = grounds.acts[operation.id]?.make
    return {
      method: operation.method.toUpperCase(),
      path: `/v1/tenant${pathOf(operation, (await make?.()) ?? '')}`,
      text: JSON.stringify((await grounds.acts[operation.id]?.body?.()) ?? {}),
    }
  }

  test('may be JSON of any kind, under either base', async ({ grounds, elsewhere, raw }) => {
    const refused: string[] = []
    for (const operation of withBody) {
      for (const [base, type] of [
        ['/v1', 'application/json'],
        ['/v1', 'application/merge-patch+json'],
        ['/api/v1', 'Application/Merge-Patch+JSON; charset=utf-8'],
      ] as const) {
        // whoever may choose the plan is another
        const of = operation.id === 'changePlan' ? elsewhere : grounds
        const { method, path, text } = await wishFor(operation, of)
        const place = operation.id === 'changePlan' ? `${path}?dry_run=true` : path
        const answer = await raw(
          method,
          place.replace('/v1', base),
          text,
          { 'Content-Type': type },
          of.token,
        )
        if (!/^20[01]$/.test(answer.said)) refused.push(`${operation.id} ${type}: ${answer.said}`)
      }
    }

    expect(refused).toEqual([])
  })

  test(
    'is refused for its type, its form and its size, before anything is changed',
    PATIENCE,
    async ({ grounds, raw }) => {
      const wrong: string[] = []
      for (const operation of withBody) {
        const { method, path, text } = await wishFor(operation, grounds)
        const events = await grounds.events()
        const sized = (size: number) => ({ 'Content-Length': String(size) })
        const answers = [
          await raw(method, path, text, { 'Content-Type': 'text/plain' }),
          await raw(method, path, text, { 'Content-Type': 'application/x-www-form-urlencoded' }),
          await raw(method, path, text.slice(0, -1)),
          await raw(method, path, `${text}}`),
          await raw(method, path, '{"__proto__":{}}'),
          await raw(method, path, text.padEnd(MAX_BODY + 1), sized(MAX_BODY + 1)),
          await raw(method, path, text.padEnd(MAX_BODY + 1)),
          await raw(method, path, '[[]]'),
          await raw(method, path, 'true'),
          await raw(method, path, '"x"'),
        ].map((each) => each.said)
        const expected = [
          '415 REQUEST.UNSUPPORTED_MEDIA_TYPE',
          '415 REQUEST.UNSUPPORTED_MEDIA_TYPE',
          '400 VALIDATION.MALFORMED_JSON',
          '400 VALIDATION.MALFORMED_JSON',
          '422 VALIDATION.FAILED',
          '413 REQUEST.TOO_LARGE',
          '413 REQUEST.TOO_LARGE',
          '422 VALIDATION.FAILED',
          '422 VALIDATION.FAILED',
          '422 VALIDATION.FAILED',
        ]
        expected.forEach((want, index) => {
          if (answers[index] !== want) wrong.push(`${operation.id} ${index}: ${answers[index]}`)
        })
        if ((await grounds.events()) !== events) wrong.push(`${operation.id}: something was done`)
      }

      expect(withBody.length).toBeGreaterThan(12)
      expect(wrong).toEqual([])
    },
  )

  test('is named by its own names where it is refused', async ({ grounds }) => {
    const asked = await Promise.all([
      grounds.ask('POST', '/api-keys', { name: 'k', expires_at: '2020-01-01' }),
      grounds.ask('POST', '/api-keys', { name: 'k', expires_at: '9999-12-31T23:59:59-14:00' }),
      grounds.ask('POST', '/api-keys', { name: '', scopes: ['all'] }),
      grounds.ask('POST', '/webhooks', { url: 'ftp://example.com', events: [] }),
    ])

    expect(asked.map((each) => [each.status, Object.keys(each.error.details).sort()])).toEqual([
      [422, ['expires_at']],
      [422, ['expires_at']],
      [422, ['name', 'scopes.0']],
      [422, ['events', 'url']],
    ])
  })
})

/** Times that no calendar has, or that the database cannot keep. */
const NO_TIMES = [
  '2027-02-31',
  '2027-02-31T00:00:00Z',
  '2027-04-31T12:00:00+02:00',
  '2027-13-01T00:00:00Z',
  '2027-01-31T25:00:00Z',
  '9999-12-31T23:59:59-14:00',
  '0000-01-01T00:00:00+14:00',
]

describe('a time', () => {
  test.for(NO_TIMES)('that does not exist is refused: %s', async (time, { grounds }) => {
    const { licenseId } = grounds.makers
    const id = await licenseId?.()
    const query = encodeURIComponent(time)
    const answers = [
      await grounds.ask('POST', '/licenses', { product: 'editor', expires_at: time }),
      await grounds.ask('PATCH', `/licenses/${id}`, { starts_at: time }),
      await grounds.ask('POST', `/licenses/${id}/renew`, { expires_at: time }),
      await grounds.ask('POST', '/api-keys', { name: 'k', expires_at: time }),
      await grounds.ask('GET', `/licenses?expires_before=${query}`),
      await grounds.ask('GET', `/usage/events?from=${query}`),
      await grounds.ask('GET', `/audit?since=${query}`),
    ]

    expect(answers.map(said)).toEqual(answers.map(() => '422 VALIDATION.FAILED'))
  })

  test.for([
    '2028-02-29',
    '2030-01-31T12:00:00.123456+05:30',
    '9999-12-31',
    '1000-01-01',
    '0999-12-31',
    '0099-05-05',
    '0001-01-01',
  ])('is given back as it was taken, or is refused: %s', async (time, { grounds }) => {
    const made = await grounds.ask('POST', '/licenses', {
      product: 'editor',
      starts_at: time,
      expires_at: null,
    })
    if (made.status !== 422) {
      const { id, starts_at } = objectOf<{ starts_at: string }>(made, 'license')
      const shown = objectOf(await grounds.ask('GET', `/licenses/${id}`), 'license')
      const expected = new Date(time).toISOString()

      expect([starts_at, shown]).toMatchObject([expected, { starts_at: expected }])
    } else expect(Object.keys(made.error.details)).toEqual(['starts_at'])
  })

  test('that follows from another is kept, or refused, and never beyond all calendars', async ({
    grounds,
  }) => {
    const issue = (wish: Json) => grounds.ask('POST', '/licenses', { product: 'editor', ...wish })
    const far = ['9999-12-31', '9000-01-01', '8999-12-31', '2999-12-31']
    const answers: TenantAnswer[] = []
    for (const time of far)
      for (const type of ['subscription', 'trial'])
        answers.push(await issue({ type, starts_at: time }))
    const made = await Promise.all(
      far.map((expires_at) => issue({ expires_at, grace_days: 3_650 })),
    )
    const { id } = objectOf(made.find(({ status }) => status === 201) as TenantAnswer, 'license')
    const lost: unknown[] = []
    for (let renewal = 0; renewal < 90; renewal += 1) {
      const answer = await grounds.ask('POST', `/licenses/${id}/renew`, { days: 36_500 })
      answers.push(answer)
      const shown = objectOf(await grounds.ask('GET', `/licenses/${id}`), 'license')
      if (answer.status === 200 && !isDeepStrictEqual(objectOf(answer, 'license'), shown))
        lost.push(shown)
    }
    const expired = await grounds.ask('GET', '/licenses?status=expired&limit=100')

    expect([...new Set([...answers, ...made].map(said))].filter((each) => /^5/.test(each))).toEqual(
      [],
    )
    expect(answers.at(-1)?.status).toBe(422)
    expect(lost).toEqual([])
    expect(expired.data.items?.filter((each) => each.id === id)).toEqual([])
  })
})

describe('a route', () => {
  const BASES = ['/v1', '/api/v1']
  /** By path, with its methods. */
  const routes = new Map(
    tenantOperations.map(({ path }) => [
      path,
      tenantOperations.filter((each) => each.path === path),
    ]),
  )

  test('that is not there is 404 for members, and for nobody else', async ({ raw }) => {
    const answers = []
    for (const base of BASES) {
      for (const path of ['/nowhere', '/products/x/y', '/export/', '/products/', '/constructor']) {
        for (const method of ['GET', 'POST', 'PATCH', 'DELETE', 'PUT'])
          answers.push([
            `${method} ${base}/tenant${path}`,
            (await raw(method, `${base}/tenant${path}`)).said,
            (await raw(method, `${base}/tenant${path}`, undefined, {}, '')).said,
            (await raw(method, `${base}/tenant${path}`, undefined, {}, '1|nothing')).said,
          ])
      }
    }

    expect(answers).toEqual(
      answers.map(([name]) => [
        name,
        '404 ROUTE.NOT_FOUND',
        '401 AUTH.TOKEN.REQUIRED',
        '401 AUTH.UNAUTHENTICATED',
      ]),
    )
  })

  test('has the methods that Allow names, and no other', async ({ raw }) => {
    const wrong: string[] = []
    for (const [path, operations] of routes) {
      const has = operations.map(({ method }) => method.toUpperCase()).sort()
      for (const base of BASES) {
        for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
          // a fixed word beside a parameter is a path of its own, and the parameter's too
          const shared = [...routes]
            .filter(([other]) => other !== path && matches(other, path))
            .flatMap(([, others]) => others.map((each) => each.method.toUpperCase()))
          const allowed = [...new Set([...has, ...shared])].sort()
          if (allowed.includes(method)) continue
          const place = `${base}/tenant${path.replace(/\{\w+\}/, newId())}`
          const { said: status, headers } = await raw(method, place)
          const told = headers.get('Allow')
          if (status !== '405 REQUEST.METHOD_NOT_ALLOWED' || told !== allowed.join(', '))
            wrong.push(`${method} ${place}: ${status}, Allow ${told}`)
        }
      }
    }

    expect(routes.size).toBeGreaterThan(25)
    expect(wrong).toEqual([])
  })
})

/** Whether a path with a parameter takes another path too. */
const matches = (pattern: string, path: string): boolean =>
  new RegExp(`^${pattern.replaceAll(/\{\w+\}/g, '[^/{}]+')}$`).test(path)
