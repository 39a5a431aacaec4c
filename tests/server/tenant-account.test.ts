import { createHash } from 'node:crypto'
import { unpackTar } from 'modern-tar'
import { describe, expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { addMember } from '../../src/core/identity/change-members.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { test as house, provision } from '../support/house.js'
import { asking, makeMember, objectOf } from '../support/member.js'
import { fromElsewhere } from '../support/shop.js'

const test = house
  .extend('owner', async ({ ctx, tenant }) => makeMember(ctx, tenant.slug, 'owner'))
  .extend('ask', async ({ app, owner }) => asking(app, owner.token))

describe('the subscription', () => {
  test('says beforehand what another plan would change, and then changes just that', async ({
    ask,
    scope,
  }) => {
    const planned = await ask('PATCH', '/subscription?dry_run=true', { plan: 'pro' })
    const before = await ask('GET', '/entitlements')
    const changed = await ask('PATCH', '/subscription', { plan: 'pro' })
    const after = await ask('GET', '/entitlements')
    const again = await ask('PATCH', '/subscription', { plan: 'pro' })
    const unknown = await ask('PATCH', '/subscription', { plan: 'gold' })

    const limitOf = ({ data }: typeof after, code: string) =>
      data.items?.find((each) => each.code === code)?.value
    expect(planned.data).toMatchObject({ dry_run: true, from: 'starter', to: 'pro', exceeded: [] })
    expect(planned.data.entitlements).toEqual(changed.data.entitlements)
    expect([limitOf(before, 'products.max'), limitOf(after, 'products.max')]).toEqual([1, 5])
    expect(limitOf(after, 'licenses.max')).toBeNull()
    expect(objectOf(changed, 'subscription')).toMatchObject({ plan: { code: 'pro' } })
    expect(again.data.entitlements).toEqual([])
    expect([unknown.status, unknown.error.code]).toEqual([404, 'PLAN.NOT_FOUND'])
    const events = await scope.db('outbox').where('action', 'like', 'entitlement.%')
    // one at provisioning, and one for each that changed
    expect(events).toHaveLength(1 + (planned.data.entitlements as unknown[]).length)
  })

  test('goes down only where what is in use fits, or where that is accepted', async ({ ask }) => {
    await ask('PATCH', '/subscription', { plan: 'pro' })
    for (const code of ['one', 'two']) await ask('POST', '/products', { code, name: code })
    const planned = await ask('PATCH', '/subscription?dry_run=true', { plan: 'starter' })
    const refused = await ask('PATCH', '/subscription', { plan: 'starter' })
    const still = await ask('GET', '/subscription')
    const accepted = await ask('PATCH', '/subscription', { plan: 'starter', accept_exceeded: true })
    const third = await ask('POST', '/products', { code: 'three', name: 'three' })

    const exceeded = [{ code: 'products.max', current: 2, limit: 1 }]
    expect(planned.data.exceeded).toEqual(exceeded)
    expect([refused.status, refused.error.code, refused.error.details]).toEqual([
      409,
      'SUBSCRIPTION.LIMITS_EXCEEDED',
      { exceeded },
    ])
    expect(objectOf(still, 'subscription')).toMatchObject({ plan: { code: 'pro' } })
    expect(accepted.status).toBe(200)
    expect(third.error.details).toEqual({ code: 'products.max', current: 2, limit: 1 })
  })
})

test('a plan whose price is agreed on by hand is none that an owner takes', async ({ ask }) => {
  const tried = await ask('PATCH', '/subscription', { plan: 'enterprise' })
  const standing = await ask('GET', '/subscription')

  expect([tried.status, tried.error.code]).toEqual([403, 'PLAN.BY_AGREEMENT'])
  expect(objectOf(standing, 'subscription')).toMatchObject({ plan: { code: 'starter' } })
})

describe('webhook endpoints', () => {
  const hook = { url: 'https://hooks.example.com/a', events: ['license.revoked'] }

  test('keep to the plan, however many are created at once, and show their secret once', async ({
    ask,
  }) => {
    const made = await Promise.all(Array.from({ length: 6 }, () => ask('POST', '/webhooks', hook)))
    const created = made.filter(({ status }) => status === 201)
    const refused = made.filter(({ status }) => status === 403)
    const listed = await ask('GET', '/webhooks')
    const counters = await ask('GET', '/usage/counters?code=webhook_endpoints.max')

    expect([created.length, refused.length]).toEqual([1, 5])
    expect(refused[0]?.error.details).toEqual({
      code: 'webhook_endpoints.max',
      current: 1,
      limit: 1,
    })
    expect(created[0]?.data.secret).toMatch(/^whsec_/)
    expect(listed.text).not.toContain('whsec_')
    expect(listed.data.items).toHaveLength(1)
    expect(counters.data.items).toMatchObject([{ value: 1, limit: 1 }])
  })

  test('are changed, disabled, enabled, rotated and deleted; the same key gets the same secret', async ({
    ask,
  }) => {
    const { id } = objectOf(await ask('POST', '/webhooks', hook), 'webhook')
    const headers = { 'Idempotency-Key': 'rotate-1' }
    const rotated = await ask('POST', `/webhooks/${id}/rotate-secret`, undefined, headers)
    const again = await ask('POST', `/webhooks/${id}/rotate-secret`, undefined, headers)
    const patched = await ask('PATCH', `/webhooks/${id}`, { events: ['license.created'] })
    const moves = []
    for (const move of ['enable', 'disable', 'disable', 'enable']) {
      moves.push((await ask('POST', `/webhooks/${id}/${move}`)).status)
    }
    const plain = await ask('POST', '/webhooks', { ...hook, url: 'http://hooks.example.com' })
    const deleted = await ask('DELETE', `/webhooks/${id}`)
    const gone = await ask('GET', `/webhooks/${id}`)
    const next = await ask('POST', '/webhooks', hook)

    expect(rotated.data.secret).toMatch(/^whsec_/)
    expect(again.data.secret).toBe(rotated.data.secret)
    expect(again.headers.get('Idempotency-Replayed')).toBe('true')
    expect(objectOf(patched, 'webhook')).toMatchObject({ events: ['license.created'] })
    expect(moves).toEqual([409, 200, 409, 200])
    expect(plain.status).toBe(422)
    expect([deleted.status, gone.status, next.status]).toEqual([200, 404, 201])
  })
})

describe('API keys', () => {
  test('that are rotated twice keep the end they were promised, unless it is given up by name', async ({
    ask,
  }) => {
    const first = objectOf(await ask('POST', '/api-keys', { name: 'shop' }), 'api_key')
    const rotate = (key: { id?: unknown }, body?: object) =>
      ask('POST', `/api-keys/${key.id}/rotate`, body)
    const second = await rotate(first)
    const [promised] = second.data.still_working as { id: string; expires_at: string }[]
    const third = await rotate(objectOf(second, 'api_key'), { grace_seconds: 3600 })
    const again = await rotate(first, { grace_seconds: 60 })
    const kept = objectOf(await ask('GET', `/api-keys/${first.id}`), 'api_key')
    const ended = await rotate(first, { grace_seconds: 0 })
    const over = objectOf(await ask('GET', `/api-keys/${first.id}`), 'api_key')

    expect([second.status, third.status, again.status, ended.status]).toEqual([201, 201, 201, 201])
    expect(promised).toMatchObject({ id: first.id, expires_at: expect.any(String) })
    expect((third.data.still_working as { id: string }[]).map(({ id }) => id)).toEqual([
      objectOf(second, 'api_key').id,
      first.id,
    ])
    expect(again.data.still_working).toEqual([promised])
    expect(kept).toMatchObject({ status: 'live', expires_at: promised?.expires_at })
    expect(ended.data.still_working).toEqual([])
    expect(over).toMatchObject({ status: 'revoked' })
  })

  test('are created, rotated and revoked, and each secret is shown once', async ({ app, ask }) => {
    const headers = { 'Idempotency-Key': 'key-1' }
    const made = await ask('POST', '/api-keys', { name: 'shop', scopes: ['licenses'] }, headers)
    const again = await ask('POST', '/api-keys', { name: 'shop', scopes: ['licenses'] }, headers)
    const key = objectOf(made, 'api_key')
    const rotated = await ask('POST', `/api-keys/${key.id}/rotate`, { grace_seconds: 0 })
    const next = objectOf(rotated, 'api_key')
    const validate = async (secret: unknown) =>
      (
        await app.request(
          '/v1/integration/licenses/0000-0000-0000-0000/validate',
          { method: 'POST', headers: { 'X-API-Key': String(secret) } },
          fromElsewhere(),
        )
      ).status
    const opens = [await validate(made.data.secret), await validate(rotated.data.secret)]
    // what an operator may type at the command line is no name here
    const byPrefix = await ask('POST', `/api-keys/${next.prefix}/revoke`)
    const revoked = await ask('POST', `/api-keys/${next.id}/revoke`)
    const twice = await ask('POST', `/api-keys/${next.id}/revoke`)
    const listed = await ask('GET', '/api-keys')

    expect(made.data.secret).toMatch(/^vx_/)
    expect(again.data.secret).toBe(made.data.secret)
    expect(opens).toEqual([401, 404])
    expect([byPrefix.status, byPrefix.error.code]).toEqual([404, 'API_KEY.NOT_FOUND'])
    expect(objectOf(revoked, 'api_key')).toMatchObject({ status: 'revoked' })
    expect([twice.status, twice.error.code]).toEqual([409, 'API_KEY.INVALID_STATE'])
    expect(listed.text).not.toMatch(/vx_[0-9A-Za-z]{39}/)
  })
})

describe('members', () => {
  test('come by invitation, once, and an admin makes no owner', async ({
    ctx,
    app,
    tenant,
    ask,
    owner,
  }) => {
    const admin = await makeMember(ctx, tenant.slug, 'admin')
    const asAdmin = asking(app, admin.token)
    const overreach = await asAdmin('POST', '/invitations', {
      email: 'x@example.com',
      role: 'owner',
    })
    const email = `new-${tenant.slug}@example.com`
    const invited = await asAdmin('POST', '/invitations', { email, role: 'developer' })
    const twice = await asAdmin('POST', '/invitations', { email, role: 'developer' })
    const accept = async (body: object) => {
      const response = await app.request(
        '/v1/auth/invitations/accept',
        {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ token: invited.data.token, ...body }),
        },
        fromElsewhere(),
      )
      return {
        status: response.status,
        body: (await response.json()) as { data: { token: string } },
      }
    }
    const weak = await accept({ name: 'New', password: 'short' })
    const accepted = await accept({ name: 'New', password: 'long enough for anybody' })
    const replay = await accept({ name: 'New', password: 'long enough for anybody' })
    const products = await asking(app, accepted.body.data.token)('GET', '/products')
    const promoted = await asAdmin('PATCH', `/members/${owner.id}`, { role: 'viewer' })
    const demoted = await ask('PATCH', `/members/${owner.id}`, { role: 'viewer' })
    const removed = await ask('DELETE', `/members/${admin.id}`)
    const afterwards = await asAdmin('GET', '/products')

    expect([overreach.status, overreach.error.code]).toEqual([403, 'AUTH.INSUFFICIENT_PERMISSIONS'])
    expect(invited.data.token).toMatch(/^vxi_/)
    expect([twice.status, twice.error.code]).toEqual([409, 'INVITATION.EXISTS'])
    expect([weak.status, accepted.status, replay.status]).toEqual([422, 201, 404])
    expect(products.status).toBe(200)
    expect([promoted.status, demoted.status]).toEqual([403, 409])
    expect(removed.status).toBe(200)
    expect([afterwards.status, afterwards.error.code]).toEqual([403, 'AUTH.FORBIDDEN'])
  })
})

test('an owner who is removed, or made something else, leaves no invitation behind', async ({
  ctx,
  app,
  tenant,
  ask,
}) => {
  const second = await makeMember(ctx, tenant.slug, 'owner')
  const asSecond = asking(app, second.token)
  const tokens: unknown[] = []
  const inviteAs = async (email: string) => {
    const { data } = await asSecond('POST', '/invitations', { email, role: 'owner' })
    tokens.push(data.token)
  }
  await inviteAs(`sock-${tenant.slug}@example.com`)
  await ask('PATCH', `/members/${second.id}`, { role: 'admin' })
  await ask('PATCH', `/members/${second.id}`, { role: 'owner' })
  await inviteAs(`puppet-${tenant.slug}@example.com`)
  await ask('DELETE', `/members/${second.id}`)
  const statuses = []
  for (const token of tokens) {
    const response = await app.request(
      '/v1/auth/invitations/accept',
      {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ token, name: 'Sock', password: 'long enough for anybody' }),
      },
      fromElsewhere(),
    )
    statuses.push(response.status)
  }
  const listed = await ask('GET', '/invitations')

  expect(statuses).toEqual([404, 404])
  expect(listed.data.items?.map(({ status }) => status)).toEqual(['revoked', 'revoked'])
})

test('who came by an invitation is let in elsewhere only by somebody who says so', async ({
  ctx,
  app,
  ask,
}) => {
  const email = `ceo-${Math.random().toString(36).slice(2)}@bank.example`
  const { data } = await ask('POST', '/invitations', { email, role: 'viewer' })
  await app.request(
    '/v1/auth/invitations/accept',
    {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ token: data.token, name: 'CEO', password: 'known to the inviter' }),
    },
    fromElsewhere(),
  )
  const other = `b${Math.random().toString(36).slice(2, 9)}`
  await provision(ctx, other)
  const bank = await getTenant(ctx.platform, other)
  const code = await codeOfAdding(ctx, bank, { user: email, role: 'owner' })
  const said = await codeOfAdding(ctx, bank, { user: email, role: 'owner', unverified: true })

  expect([code, said]).toEqual(['USER.UNVERIFIED', 'added'])
})

const codeOfAdding = (ctx: Context, tenant: { readonly id: string }, input: object) =>
  addMember(ctx, tenant, input).then(
    () => 'added',
    (error: { code: string }) => error.code,
  )

describe('an idempotency key', () => {
  test('tells times apart, and one caller from another', async ({ ctx, app, tenant, ask }) => {
    await ask('POST', '/products', { code: 'p', name: 'P' })
    const headers = { 'Idempotency-Key': 'times' }
    const issue = (expires_at: string) =>
      ask('POST', '/licenses', { product: 'p', expires_at }, headers)
    const [first, again, other] = [
      await issue('2030-01-01'),
      await issue('2030-01-01T00:00:00Z'),
      await issue('2040-01-01'),
    ]
    const developer = asking(app, (await makeMember(ctx, tenant.slug, 'developer')).token)
    const key = { 'Idempotency-Key': 'ci' }
    const mine = await ask('POST', '/api-keys', { name: 'ci' }, key)
    const theirs = await developer('POST', '/api-keys', { name: 'ci' }, key)

    expect(first.data).toEqual(again.data)
    expect([other.status, other.error.code]).toEqual([422, 'VALIDATION.IDEMPOTENCY_MISMATCH'])
    expect(theirs.status).toBe(201)
    expect(theirs.data.secret).not.toBe(mine.data.secret)
  })
})

describe('settings and branding', () => {
  test('are merged, refused where somebody was faster, and reset by null', async ({ ask }) => {
    const { headers } = await ask('GET', '/settings')
    const etag = { 'If-Match': headers.get('ETag') ?? '' }
    const changed = await ask('PATCH', '/settings', { 'licenses.default_grace_days': 7 }, etag)
    const late = await ask('PATCH', '/settings', { 'licenses.trial_days': 3 }, etag)
    const unknown = await ask('PATCH', '/settings', { nonsense: 1 })
    await ask('POST', '/products', { code: 'p', name: 'P' })
    const issued = objectOf(await ask('POST', '/licenses', { product: 'p' }), 'license')
    const reset = await ask('PATCH', '/settings', { 'licenses.default_grace_days': null })
    const branded = await ask('PATCH', '/branding', {
      primary_color: '#0f766e',
      support_url: 'https://example.com/help',
    })
    const wrong = await ask('PATCH', '/branding', { logo_url: 'javascript:alert(1)' })

    expect(changed.data.settings).toMatchObject({ 'licenses.default_grace_days': 7 })
    expect([late.status, unknown.status, wrong.status]).toEqual([412, 422, 422])
    expect(issued).toMatchObject({ grace_days: 7 })
    expect(reset.data.settings).toMatchObject({ 'licenses.default_grace_days': 0 })
    expect(branded.data.branding).toMatchObject({ primary_color: '#0f766e' })
  })
})

describe('the export', () => {
  test('is one archive of all that the tenant owns, with sums that agree and no secret', async ({
    ctx,
    app,
    ask,
    owner,
    tenant,
  }) => {
    await ask('PATCH', '/subscription', { plan: 'pro' })
    await ask('POST', '/products', { code: 'p', name: 'P' })
    await ask('POST', '/licenses/batch', { licenses: [{ product: 'p', quantity: 1000 }] })
    await ask('POST', '/licenses/batch', { licenses: [{ product: 'p', quantity: 1000 }] })
    await ask('POST', '/licenses/batch', { licenses: [{ product: 'p', quantity: 5 }] })
    await ask('POST', '/webhooks', { url: 'https://h.example.com', events: ['license.created'] })
    const viewer = await makeMember(ctx, tenant.slug, 'admin')
    const refused = await asking(app, viewer.token)('GET', '/export')
    const response = await app.request(
      '/v1/tenant/export',
      { headers: { Authorization: `Bearer ${owner.token}` } },
      fromElsewhere(),
    )
    const entries = await unpackTar(new Uint8Array(await response.arrayBuffer()))
    const files = new Map(
      entries.map(({ header, data }) => [header.name, Buffer.from(data ?? new Uint8Array())]),
    )

    expect(refused.status).toBe(403)
    expect(response.headers.get('Content-Type')).toBe('application/x-tar')
    const sums = files.get('SHA256SUMS')?.toString().trim().split('\n') ?? []
    expect(sums).toHaveLength(files.size - 1)
    for (const line of sums) {
      const [sum = '', name = ''] = line.split('  ')
      const bytes = files.get(name) ?? Buffer.alloc(0)
      expect(createHash('sha256').update(bytes).digest('hex'), name).toBe(sum)
    }
    const rowsOf = (name: string) =>
      [...files]
        .filter(([file]) => file.startsWith(`${name}/`))
        .flatMap(([, text]) => text.toString().split('\n').filter(Boolean))
    expect(rowsOf('licenses')).toHaveLength(2_005)
    expect(files.has('licenses/000002.ndjson')).toBe(true)
    expect(rowsOf('members')).toHaveLength(2)
    expect(rowsOf('api_keys')).toHaveLength(1)
    expect(rowsOf('webhook_endpoints')).toHaveLength(1)
    expect(JSON.parse(files.get('manifest.json')?.toString() ?? '')).toMatchObject({
      format: 1,
      tenant: { slug: tenant.slug },
    })
    const all = [...files.values()].join('')
    expect(all).not.toMatch(/whsec_|secret_encrypted|token_hash|"hash"|vx_[0-9A-Za-z]{39}/)
  })
})

test('an export that nobody reads holds up nobody, and HEAD makes none', async ({ app, owner }) => {
  const headers = { Authorization: `Bearer ${owner.token}` }
  const get = (method: string) =>
    app.request('/v1/tenant/export', { method, headers }, fromElsewhere())
  const head = await get('HEAD')
  const first = await get('GET')
  // it is an archive where there was room for it, and no JSON
  const second = await get('GET')
  await Promise.all([first.body?.cancel(), second.body?.cancel()])
  await expect.poll(async () => (await get('GET')).status).toBe(200)

  expect(head.status).toBe(405)
  expect(first.status).toBe(200)
  expect([200, 503]).toContain(second.status)
})

describe('the audit log', () => {
  test('shows what was done on the platform for this tenant alone', async ({ ctx, ask, app }) => {
    const other = `o${Math.random().toString(36).slice(2, 9)}`
    await provision(ctx, other)
    const stranger = await makeMember(ctx, other, 'owner')
    await asking(app, stranger.token)('POST', '/api-keys', { name: 'theirs' })
    await ask('POST', '/api-keys', { name: 'ours' })
    const keys = await ask('GET', '/audit?action=api_key.*&limit=2')
    const all = await ask('GET', '/audit?limit=100')

    expect(keys.data.items?.[0]).toMatchObject({
      action: 'api_key.created',
      actor: { type: 'user' },
      changes: { after: { name: 'ours' } },
    })
    expect(all.text).not.toContain('theirs')
    expect(keys.data.next_cursor).toBeNull()
  })
})
