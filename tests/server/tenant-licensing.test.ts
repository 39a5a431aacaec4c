import { describe, expect } from 'vitest'
import { test as house } from '../support/house.js'
import { asking, makeMember, objectOf } from '../support/member.js'

const test = house
  .extend('ask', async ({ ctx, app, tenant }) => {
    const { token } = await makeMember(ctx, tenant.slug, 'owner')
    return asking(app, token)
  })
  .extend('product', async ({ ask }) =>
    objectOf(await ask('POST', '/products', { code: 'editor', name: 'Editor' }), 'product'),
  )

describe('products', () => {
  test('are created within the plan, changed by their version alone, and deleted while unused', async ({
    ask,
    product,
  }) => {
    const second = await ask('POST', '/products', { code: 'other', name: 'Other' })
    const again = await ask('POST', '/products', { code: 'editor', name: 'Editor' })
    const shown = await ask('GET', `/products/${product.id}`)
    const etag = shown.headers.get('ETag') ?? ''
    const patch = { name: 'Editor 2', metadata: { team: 'blue' } }
    const changed = await ask('PATCH', `/products/${product.id}`, patch, { 'If-Match': etag })
    const late = await ask('PATCH', `/products/${product.id}`, patch, { 'If-Match': etag })
    const unseen = await ask('GET', `/products/${product.id}`, undefined, {
      'If-None-Match': changed.headers.get('ETag') ?? '',
    })
    await ask('POST', '/licenses', { product: 'editor' })
    const used = await ask('DELETE', `/products/${product.id}`)

    expect([second.status, second.error.code, second.error.details]).toEqual([
      403,
      'ENTITLEMENTS.LIMIT_EXCEEDED',
      { code: 'products.max', current: 1, limit: 1 },
    ])
    expect([again.status, again.error.code]).toEqual([409, 'PRODUCT.EXISTS'])
    expect(objectOf(changed, 'product')).toMatchObject({ ...patch, code: 'editor' })
    expect([late.status, late.error.code]).toEqual([412, 'REQUEST.PRECONDITION_FAILED'])
    expect([unseen.status, unseen.text]).toEqual([304, ''])
    expect([used.status, used.error.code]).toEqual([409, 'PRODUCT.IN_USE'])
  })

  test('that are archived take no new licenses', async ({ ask, product }) => {
    const issued = objectOf(await ask('POST', '/licenses', { product: 'editor' }), 'license')
    await ask('PATCH', `/products/${product.id}`, { status: 'archived' })
    const refused = await ask('POST', '/licenses', { product: 'editor' })
    const kept = await ask('GET', `/licenses/${issued.id}`)

    expect([refused.status, refused.error.code]).toEqual([409, 'PRODUCT.INVALID_STATE'])
    expect(objectOf(kept, 'license')).toMatchObject({ status: 'active', code: 'VALID' })
  })
})

describe('licenses', () => {
  test('live by their table of moves, and a revoked one stays visible and revoked', async ({
    ask,
    product,
  }) => {
    const { id, key } = objectOf<{ key: string }>(
      await ask('POST', '/licenses', {
        product: product.code,
        entitlements: { 'activations.max': 3, old: true },
        customer_email: 'c@example.com',
      }),
      'license',
    )
    const statusOf = async (move: string) => {
      const answer = await ask('POST', `/licenses/${id}/${move}`)
      return answer.status === 200
        ? (objectOf(answer, 'license') as { status?: string }).status
        : `${answer.status} ${answer.error.code}`
    }
    const steps = []
    for (const move of ['reinstate', 'suspend', 'suspend', 'reinstate', 'renew', 'revoke']) {
      steps.push(await statusOf(move))
    }
    for (const move of ['suspend', 'reinstate', 'renew', 'revoke']) steps.push(await statusOf(move))
    const patched = await ask('PATCH', `/licenses/${id}`, { grace_days: 3 })
    const shown = await ask('GET', `/licenses/${key}`)

    expect(steps).toEqual([
      '409 LICENSE.INVALID_STATE',
      'suspended',
      '409 LICENSE.INVALID_STATE',
      'active',
      'active',
      'revoked',
      '409 LICENSE.INVALID_STATE',
      '409 LICENSE.INVALID_STATE',
      '409 LICENSE.INVALID_STATE',
      '409 LICENSE.INVALID_STATE',
    ])
    expect(patched.status).toBe(409)
    expect(objectOf(shown, 'license')).toMatchObject({ id, status: 'revoked', code: 'REVOKED' })
  })

  test('merge what is patched', async ({ ask, product }) => {
    const { id } = objectOf(
      await ask('POST', '/licenses', {
        product: product.code,
        entitlements: { 'activations.max': 3, old: true },
        metadata: { a: { b: 1, c: 2 } },
        customer_name: 'Carol',
      }),
      'license',
    )
    const patched = await ask('PATCH', `/licenses/${id}`, {
      entitlements: { old: null, exports: 5 },
      metadata: { a: { b: null } },
      customer_name: null,
      expires_at: null,
    })

    expect(objectOf(patched, 'license')).toMatchObject({
      entitlements: { 'activations.max': 3, exports: 5 },
      metadata: { a: { c: 2 } },
      customer_name: null,
      expires_at: null,
    })
  })

  test('are issued once for one Idempotency-Key, also many at once, also when the calls race', async ({
    ask,
    product,
  }) => {
    const body = { licenses: [{ product: product.code, quantity: 5 }, { product: product.code }] }
    const headers = { 'Idempotency-Key': 'batch-1' }
    const both = await Promise.all([1, 2].map(() => ask('POST', '/licenses/batch', body, headers)))
    const again = await ask('POST', '/licenses/batch', body, headers)
    const other = await ask('POST', '/licenses/batch', { licenses: [] }, headers)
    const listed = await ask('GET', '/licenses?limit=100')

    expect(both.map(({ status }) => status).sort()).toEqual(expect.arrayContaining([201]))
    expect(again.status).toBe(201)
    expect(again.headers.get('Idempotency-Replayed')).toBe('true')
    expect(again.data.items).toHaveLength(6)
    expect(other.status).toBe(422)
    expect(listed.data.items).toHaveLength(6)
  })

  test('are listed page by page in every order, whatever is issued in between', async ({
    ctx,
    app,
    product: _,
    scope,
    ask,
  }) => {
    const days = [40, 10, 20, null, 30, null, 10]
    for (const [index, day] of days.entries()) {
      await ask('POST', '/licenses', {
        product: 'editor',
        expires_at: day && new Date(Date.UTC(2030, 0, day)).toISOString(),
        customer_name: `Customer ${index % 2 === 0 ? 'even' : 'odd'}`,
      })
    }
    const walk = async (query: string) => {
      const seen: (string | null)[] = []
      let cursor: string | null | undefined
      do {
        const { data } = await ask(
          'GET',
          `/licenses?limit=2&${query}${cursor ? `&cursor=${cursor}` : ''}`,
        )
        for (const { expires_at } of data.items ?? []) {
          seen.push((expires_at as string | null)?.slice(0, 10) ?? null)
        }
        cursor = data.next_cursor
      } while (cursor)
      return seen
    }

    const at = (day: number) => new Date(Date.UTC(2030, 0, day)).toISOString().slice(0, 10)
    const up = [at(10), at(10), at(20), at(30), at(40), null, null]
    expect(await walk('sort=expires_at')).toEqual(up)
    expect(await walk('sort=-expires_at')).toEqual([...up.slice(0, 5).reverse(), null, null])
    expect(await walk('sort=created_at')).toHaveLength(7)
    expect(await walk('expires_before=2030-01-25')).toHaveLength(3)
    expect(await walk('search=odd&sort=expires_at')).toHaveLength(3)
    const wrong = await ask('GET', '/licenses?cursor=abc')
    const many = await ask('GET', '/licenses?limit=101')
    expect([wrong.status, many.status]).toEqual([422, 422])
    expect(ctx && app && scope).toBeTruthy()
  })
})
