import { expect } from 'vitest'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import { test as house } from '../support/house.js'
import { asking, makeMember } from '../support/member.js'
import { fromElsewhere, openShop } from '../support/shop.js'

const test = house
  .extend('shop', { scope: 'file' }, async ({ ctx }) => {
    const shop = await openShop(ctx)
    const license = await shop.issue({ entitlements: { exports: true, 'activations.max': 9 } })
    return { ...shop, license }
  })
  .extend('post', { scope: 'file' }, async ({ app, shop }) => {
    return async (path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) => {
      const response = await app.request(
        `/v1/integration${path}`,
        {
          method: 'POST',
          headers: { 'X-API-Key': shop.apiKey, 'Content-Type': 'application/json', ...headers },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        },
        fromElsewhere(),
      )
      const { data, error } = (await response.json()) as Record<string, Record<string, unknown>>
      return { status: response.status, data, code: error?.code }
    }
  })

const spellingsOf = (key: string): readonly string[] => [
  key,
  key.toLowerCase(),
  key.replaceAll('-', ''),
  ` ${key}`,
  `${key}\n`,
  `\u00a0${key.toLowerCase().replaceAll('-', '\u2013')} `,
]

test('a license key is accepted as people type it, wherever it is sent', async ({ shop, post }) => {
  const { key, id } = shop.license
  const results = []
  for (const [index, license_key] of spellingsOf(key).entries()) {
    const path = `/licenses/${encodeURIComponent(license_key)}/validate`
    const usage = { license_key, metric: 'exports', quantity: 1 }
    const answers = [
      await post(path),
      await post('/activations', { license_key, instance_id: `spelled-${index}` }),
      await post('/entitlements/check', { license_key, features: ['exports'] }),
      await post('/usage/record', usage),
    ]
    results.push(answers.map(({ status }) => status))
    expect(answers[0]?.data).toMatchObject({ license: { id, key } })
  }

  expect(results).toEqual(spellingsOf(key).map(() => [200, 201, 200, 202]))
})

test('a repeat with an idempotency key may spell the license key otherwise', async ({
  shop,
  post,
}) => {
  const { key } = shop.license
  const [one, two] = [key, ` ${key.toLowerCase()}`]
  const repeat = { 'Idempotency-Key': 'spelled' }
  const statuses = []
  for (const license_key of [one, two]) {
    const activation = { license_key, instance_id: 'idempotent' }
    const usage = { license_key, metric: 'exports', quantity: 1 }
    statuses.push((await post('/activations', activation, repeat)).status)
    statuses.push((await post('/usage/record', usage, repeat)).status)
  }

  expect(statuses).toEqual([201, 202, 201, 202])
})

test('an id is accepted in either case in paths and in X-Tenant-ID', async ({
  ctx,
  app,
  shop,
  post,
}) => {
  const { license, scope, slug } = shop
  const input = { license_key: license.key, instance_id: 'cased' }
  const { id } = (await activateLicense(scope, input)).result.activation
  const { token } = await makeMember(ctx, slug, 'owner')
  const upper = { 'X-Tenant-ID': scope.tenant.id.toUpperCase() }
  const ask = asking(app, token, upper)
  const byId = (await ask('GET', `/licenses/${license.id.toUpperCase()}`)).status
  const byKey = (await ask('GET', `/licenses/${license.key.toLowerCase()}`)).status
  const activation = (await ask('GET', `/activations/${id.toUpperCase()}`)).status
  const validated = (await post(`/activations/${id.toUpperCase()}/validate`)).status
  const spelled = []
  for (const spelling of spellingsOf(license.key))
    spelled.push((await ask('GET', `/licenses/${encodeURIComponent(spelling)}`)).status)
  const filtered = await ask('GET', `/activations?license=${license.id.toUpperCase()}`)

  expect(id).toMatch(/[a-f]/)
  expect([byId, byKey, activation, validated]).toEqual([200, 200, 200, 200])
  expect(spelled).toEqual(spelled.map(() => 200))
  expect(filtered.data.items?.length).toBeGreaterThan(0)
})

test('the terminal accepts the same spellings', async ({ shop, cli }) => {
  const { license, slug } = shop
  const exits = []
  for (const name of [license.id.toUpperCase(), ...spellingsOf(license.key)])
    exits.push((await cli('license', 'show', name, '--tenant', slug)).exit)
  for (const key of spellingsOf(license.key))
    exits.push((await cli('license', 'why', key, '--tenant', slug)).exit)

  expect(exits).toEqual(exits.map(() => 0))
})
