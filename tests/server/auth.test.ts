import { createHash } from 'node:crypto'
import { describe, expect } from 'vitest'
import { addMember } from '../../src/core/identity/change-members.js'
import { changePassword } from '../../src/core/identity/change-password.js'
import { createToken } from '../../src/core/identity/create-token.js'
import { createUser } from '../../src/core/identity/create-user.js'
import { disableUser } from '../../src/core/identity/disable-user.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { hashPasswordsCheaply } from '../support/cheap-passwords.js'
import { test as house } from '../support/house.js'
import { fromElsewhere } from '../support/shop.js'

hashPasswordsCheaply()

const PASSWORD = 'correct horse battery staple'

type Json = {
  readonly data: Record<string, unknown> & { readonly token: string }
  readonly error: { readonly code: string; readonly details: Record<string, unknown> }
}

let people = 0
const test = house
  .extend('ada', async ({ ctx }) => {
    people += 1
    return createUser(ctx, { email: `ada${people}@example.com`, name: 'Ada', password: PASSWORD })
  })
  .extend(
    'post',
    async ({ app }) =>
      async (path: string, body?: unknown, token?: string, from = fromElsewhere()) => {
        const response = await app.request(
          `/v1/auth${path}`,
          {
            method: 'POST',
            headers: {
              ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
              ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
            },
            ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          },
          from,
        )
        return {
          status: response.status,
          headers: response.headers,
          body: (await response.json()) as Json,
        }
      },
  )
  .extend('me', async ({ app }) => async (token: string) => {
    const response = await app.request(
      '/v1/auth/me',
      { headers: { Authorization: `Bearer ${token}` } },
      fromElsewhere(),
    )
    return { status: response.status, body: (await response.json()) as Json }
  })

describe('a login', () => {
  test('gives a token that says who it is for and where they belong', async ({
    ctx,
    ada,
    tenant,
    post,
    me,
  }) => {
    const { id } = await getTenant(ctx.platform, tenant.slug)
    await addMember(ctx, { id }, { user: ada.email, role: 'admin' })

    const { status, body } = await post('/login', {
      email: ada.email.toUpperCase(),
      password: PASSWORD,
    })
    const asked = await me(body.data.token)

    expect(status).toBe(200)
    expect(body.data).toMatchObject({
      token: expect.stringMatching(/^\d+\|[0-9A-Za-z]{40}[0-9a-f]{8}$/),
      token_type: 'Bearer',
      user: { id: ada.id, email: ada.email, name: 'Ada' },
      memberships: [{ tenant: { id, slug: tenant.slug, status: 'active' }, role: 'admin' }],
    })
    expect(asked.body.data).toMatchObject({
      user: { id: ada.id },
      type: 'user',
      token: { abilities: ['tenant'] },
      memberships: [{ role: 'admin' }],
    })
    const [row] = await ctx.platform('personal_access_tokens').where({ tokenable_id: ada.id })
    const secret = body.data.token.split('|')[1] ?? ''
    expect(row).toMatchObject({
      tokenable_type: 'App\\Models\\User',
      token: createHash('sha256').update(secret).digest('hex'),
      abilities: '["tenant"]',
    })
  })

  test('answers an unknown address, a wrong password and a disabled user alike', async ({
    ctx,
    ada,
    post,
  }) => {
    const answers = []
    for (const email of ['nobody@example.com', ada.email]) {
      const { status, body } = await post('/login', { email, password: 'wrong' })
      answers.push([status, body.error])
    }
    await disableUser(ctx, { user: ada.email })
    const disabled = await post('/login', { email: ada.email, password: PASSWORD })

    expect(answers[0]).toEqual(answers[1])
    expect([disabled.status, disabled.body.error]).toEqual(answers[0])
    expect(answers[0]).toMatchObject([401, { code: 'AUTH.INVALID_CREDENTIALS' }])
  })

  test('is locked after five attempts in a minute, also for who knows the password then', async ({
    ada,
    post,
  }) => {
    const from = fromElsewhere()
    const statuses = []
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const { status } = await post(
        '/login',
        { email: ada.email, password: 'wrong' },
        undefined,
        from,
      )
      statuses.push(status)
    }
    const right = { email: ada.email, password: PASSWORD }
    const locked = await post('/login', right, undefined, from)
    const elsewhere = await post('/login', right)

    expect(statuses).toEqual([401, 401, 401, 401, 401])
    expect(locked.status).toBe(429)
    expect(locked.body.error).toMatchObject({
      code: 'AUTH.ACCOUNT_LOCKED',
      details: { limit: 5, reset: expect.any(Number) },
    })
    expect(Number(locked.headers.get('Retry-After'))).toBeGreaterThan(0)
    expect(elsewhere.status).toBe(200)
  })

  test('that is under way while the password changes leaves no token', async ({
    ctx,
    ada,
    post,
    me,
  }) => {
    const tokens: string[] = []
    let refused = 0
    for (let round = 0; round < 6; round += 1) {
      const [old, next] = [`password number ${round}`, `password number ${round + 1}`]
      if (round === 0) await changePassword(ctx, { user: ada.email, password: old })
      const attempt = post('/login', { email: ada.email, password: old })
      // who wins is open; in every other round the login does
      if (round % 2 === 0) await attempt
      await changePassword(ctx, { user: ada.email, password: next })
      const login = await attempt
      if (login.status === 200) tokens.push(login.body.data.token)
      else refused += 1
    }

    expect(tokens.length).toBeGreaterThanOrEqual(3)
    expect(tokens.length + refused).toBe(6)
    for (const token of tokens) expect((await me(token)).status).toBe(401)
  })

  test('is counted before its password is checked, also when many come at once', async ({
    app,
    ada,
    post,
  }) => {
    const from = fromElsewhere()
    // of the 60 failures that an address has, these cost no hash
    const headers = { Authorization: 'Bearer 1|x' }
    for (let guess = 0; guess < 50; guess += 1) await app.request('/v1/auth/me', { headers }, from)
    const attempts = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        post('/login', { email: `nobody${index}@example.com`, password: 'wrong' }, undefined, from),
      ),
    )
    const right = await post('/login', { email: ada.email, password: PASSWORD }, undefined, from)

    const guesses = attempts.filter(({ status }) => status === 401)
    expect(guesses).toHaveLength(10)
    expect(right.status).toBe(429)
  })

  test('that ends takes its token along, and no other', async ({ ctx, ada, post, me }) => {
    const other = await createToken(ctx, { user: ada.email })
    const { body } = await post('/login', { email: ada.email, password: PASSWORD })
    const out = await post('/logout', undefined, body.data.token)

    expect(out.body.data).toEqual({ logged_out: true })
    expect((await me(body.data.token)).status).toBe(401)
    expect((await me(other.plainText)).status).toBe(200)
  })
})

describe('a token', () => {
  test('is needed, and no other header will do', async ({ app }) => {
    const codes = []
    for (const headers of [
      {},
      { Authorization: '' },
      { Authorization: 'Basic YTpi' },
      { Authorization: 'Bearer' },
      { Authorization: 'Bearer 1|' },
      { Cookie: 'token=1|x' },
    ] as Record<string, string>[]) {
      const response = await app.request('/v1/auth/me', { headers }, fromElsewhere())
      codes.push(((await response.json()) as Json).error.code)
    }

    expect(codes).toEqual([
      'AUTH.TOKEN.REQUIRED',
      'AUTH.TOKEN.REQUIRED',
      'AUTH.UNAUTHENTICATED',
      'AUTH.UNAUTHENTICATED',
      'AUTH.UNAUTHENTICATED',
      'AUTH.TOKEN.REQUIRED',
    ])
  })
})
