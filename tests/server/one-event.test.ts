import { describe, expect } from 'vitest'
import type { Action } from '../../src/core/events/actions.js'
import { createUser } from '../../src/core/identity/create-user.js'
import { invite } from '../../src/core/identity/invite.js'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import { hashPasswordsCheaply } from '../support/cheap-passwords.js'
import { test as house } from '../support/house.js'
import { makeMember, makePerson, type Person } from '../support/member.js'
import { freshWord } from '../support/platform.js'
import {
  makeLicense,
  mounted,
  openSite,
  routesOf,
  type Said,
  type Site,
  send,
  TENANT_ROUTES,
  widenPlan,
} from '../support/routes.js'
import { faultsOf, observe, TOLD_BY_TENANT_ROUTES } from '../support/told.js'

hashPasswordsCheaply()

const PATIENCE = { timeout: 300_000 }
const PASSWORD = 'correct horse battery staple'

/** A tenant with who may do everything there. */
type Grounds = Site & { readonly owner: Person }

/** What the trail is told of a request that succeeded. */
type Wanted = readonly Action[] | ((answer: Record<string, unknown>) => readonly Action[])

/** Each entitlement that is another is a change of its own. */
const TENANT: Readonly<Record<string, Wanted>> = {
  ...TOLD_BY_TENANT_ROUTES,
  'PATCH /subscription': ({ entitlements }) => [
    'subscription.updated',
    ...(entitlements as readonly { readonly granted_after: boolean }[]).map(({ granted_after }) =>
      granted_after ? ('entitlement.granted' as const) : ('entitlement.revoked' as const),
    ),
  ],
}

type Request = {
  readonly path: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Whom the trail names. */
  readonly by: 'user' | 'api_key'
}

const invited = async ({ ctx, id }: Grounds) =>
  (await invite(ctx, { id }, { email: `${freshWord()}@example.com`, role: 'viewer' })).result.token

const activated = async (site: Grounds) => {
  const { key } = await makeLicense(site)
  const input = { license_key: key, instance_id: 'build-7' }
  return (await activateLicense(site.scope, input)).result.activation.id
}

const reported =
  (quantity: number) =>
  async (site: Grounds): Promise<Request> => {
    const { key } = await makeLicense(site, { entitlements: { exports: 10 } })
    const body = { license_key: key, metric: 'exports', quantity }
    return { path: '/integration/usage/record', body, by: 'api_key' }
  }

/** The other routes, each with all that it may tell. */
const OTHERS: Readonly<
  Record<string, readonly [Wanted, (site: Grounds) => Promise<Request>, except?: RegExp][]>
> = {
  'POST /integration/licenses/:licenseKey/validate': [
    [
      [],
      async (site) => {
        const { key } = await makeLicense(site)
        return { path: `/integration/licenses/${key}/validate`, by: 'api_key' }
      },
    ],
  ],
  'POST /integration/activations': [
    [
      ['activation.created'],
      async (site) => {
        const { key } = await makeLicense(site)
        const body = { license_key: key, instance_id: 'build-7' }
        return { path: '/integration/activations', body, by: 'api_key' }
      },
    ],
  ],
  'POST /integration/activations/:activationId/validate': [
    [
      [],
      async (site) => ({
        path: `/integration/activations/${await activated(site)}/validate`,
        by: 'api_key',
      }),
      // when an instance was last seen
      /`activations`/,
    ],
  ],
  'POST /integration/entitlements/check': [
    [
      [],
      async (site) => {
        const { key } = await makeLicense(site)
        const body = { license_key: key, features: ['exports'] }
        return { path: '/integration/entitlements/check', body, by: 'api_key' }
      },
    ],
  ],
  'POST /integration/usage/record': [
    // a report is a row of its own, and no event beside it
    [[], reported(1), /`usage_(events|counters)`/],
    [['usage.threshold_reached'], reported(8)],
  ],
  'POST /auth/login': [
    [
      ['token.created'],
      async ({ ctx }) => {
        const email = `${freshWord()}@example.com`
        await createUser(ctx, { email, name: 'P', password: PASSWORD })
        return { path: '/auth/login', body: { email, password: PASSWORD }, by: 'user' }
      },
    ],
  ],
  'POST /auth/logout': [
    [
      ['token.revoked'],
      async ({ ctx }) => {
        const { token } = await makePerson(ctx)
        return { path: '/auth/logout', headers: { Authorization: `Bearer ${token}` }, by: 'user' }
      },
    ],
  ],
  'POST /auth/invitations/accept': [
    [
      ['user.created', 'member.added', 'invitation.accepted', 'token.created'],
      async (site) => {
        const body = { token: await invited(site), name: 'P', password: PASSWORD }
        return { path: '/auth/invitations/accept', body, by: 'user' }
      },
    ],
  ],
  'GET /auth/me': [
    [
      [],
      async ({ owner }) => ({
        path: '/auth/me',
        headers: { Authorization: `Bearer ${owner.token}` },
        by: 'user',
      }),
    ],
  ],
}

const test = house
  .extend('plans', { scope: 'file' }, async ({ ctx }) => widenPlan(ctx))
  .extend('grounds', { scope: 'file' }, async ({ ctx, plans: _ }): Promise<Grounds> => {
    const site = await openSite(ctx)
    return { ...site, owner: await makeMember(ctx, site.slug, 'owner') }
  })

const wantedOf = (wanted: Wanted, { text }: Said): readonly Action[] =>
  typeof wanted === 'function'
    ? wanted((JSON.parse(text) as { data: Record<string, unknown> }).data)
    : wanted

const bearer = ({ token }: Person) => ({ Authorization: `Bearer ${token}` })

describe('every route', () => {
  test('is listed with what it tells the trail', ({ app }) => {
    const mutating = Object.keys(TENANT_ROUTES).filter((name) => !name.startsWith('GET '))
    const others = ['/integration', '/auth'].flatMap((group) => routesOf(app, group))

    expect(Object.keys(TENANT).filter((name) => name !== 'GET /export')).toEqual(mutating)
    expect(
      [...new Set(others.map((name) => name.replace(/ (\/api)?\/v1/, ' ')))].toSorted(),
    ).toEqual(Object.keys(OTHERS).toSorted())
  })

  test.for(Object.entries(TENANT_ROUTES))(
    'below /tenant tells of each change once, and of nothing else: %s',
    PATIENCE,
    async ([name, route], { ctx, app, grounds }) => {
      const { method, prepare, success } = mounted(name.replace(' ', ' /v1/tenant'), route)
      const wish = await prepare(grounds)
      const seen = await observe(ctx, [grounds], () =>
        send(app, method, wish, bearer(grounds.owner)),
      )
      const { said, headers } = seen.result

      expect(said).toBe(String(success))
      expect(faultsOf(wantedOf(TENANT[name] ?? [], seen.result), seen)).toEqual([])
      for (const event of seen.told) {
        expect(event).toMatchObject({
          actorType: 'user',
          actorId: grounds.owner.id,
          tenantId: grounds.id,
          requestId: headers.get('X-Request-ID'),
          address: expect.stringMatching(/^10\./),
        })
      }
    },
  )

  test.for(
    Object.entries(OTHERS).flatMap(([name, cases]) =>
      cases.map((each) => [name, ...each] as const),
    ),
  )(
    'of callers tells of each change once, and of nothing else: %s → %s',
    PATIENCE,
    async ([name, wanted, make, except], { ctx, app, grounds }) => {
      const { path, by, ...request } = await make(grounds)
      const headers = by === 'api_key' ? { 'X-API-Key': grounds.apiKey } : { ...request.headers }
      const seen = await observe(ctx, [grounds], () =>
        send(app, name.split(' ')[0] ?? '', { ...request, path: `/v1${path}` }, headers),
      )
      const changed = seen.changed.filter((table) => !except?.test(table))

      expect(seen.result.said).toMatch(/^20[0-2]$/)
      expect(faultsOf(wantedOf(wanted, seen.result), { ...seen, changed })).toEqual([])
      for (const event of seen.told) {
        expect(event).toMatchObject({
          actorType: by,
          requestId: seen.result.headers.get('X-Request-ID'),
          address: expect.stringMatching(/^10\./),
        })
      }
    },
  )

  test(
    'tells nothing the second time, under the same Idempotency-Key',
    PATIENCE,
    async ({ ctx, app, grounds }) => {
      const twice: string[] = []
      for (const [name, route] of Object.entries(TENANT_ROUTES)) {
        // a test is sent each time that it is asked for
        if (!name.startsWith('POST ') || name.endsWith('/test')) continue
        const { method, prepare, success } = mounted(name.replace(' ', ' /v1/tenant'), route)
        const wish = await prepare(grounds)
        const headers = { ...bearer(grounds.owner), 'Idempotency-Key': freshWord() }
        expect((await send(app, method, wish, headers)).said).toBe(String(success))
        const { result, told, changed } = await observe(ctx, [grounds], () =>
          send(app, method, wish, headers),
        )
        if (result.said !== String(success) || told.length > 0 || changed.length > 0)
          twice.push(`${name}: ${result.said}, ${told.map(({ action }) => action)}, ${changed}`)
      }

      expect(twice).toEqual([])
    },
  )

  test(
    'is found out where it changes untold, tells twice or tells of something else',
    PATIENCE,
    async ({ ctx, app, grounds }) => {
      const plant = async (spoil: () => Promise<unknown>, name = 'POST /products') => {
        const route = TENANT_ROUTES[name]
        if (!route) throw new Error(name)
        const { method, prepare } = mounted(name.replace(' ', ' /v1/tenant'), route)
        const wish = await prepare(grounds)
        const seen = await observe(ctx, [grounds], async () => {
          const said = await send(app, method, wish, bearer(grounds.owner))
          await spoil()
          return said
        })
        return faultsOf(wantedOf(TENANT[name] ?? [], seen.result), seen).join()
      }
      const { db } = grounds.scope
      const lastEvent = () => db('outbox').orderBy('id', 'desc').first()
      const lastId = async () => ({ id: (await lastEvent()).id })
      const copied = (over: object) => async () => {
        const { id: _, ...row } = await lastEvent()
        await db('outbox').insert({ ...row, event_id: freshWord(), changes: null, ...over })
      }

      expect(await plant(async () => {})).toBe('')
      expect(
        await plant(async () =>
          db('outbox')
            .where(await lastId())
            .delete(),
        ),
      ).toMatch(/^told \[\], .*changed untold/)
      expect(await plant(copied({}))).toMatch(/told twice/)
      expect(await plant(copied({ action: 'product.updated' }))).toMatch(/^told /)
      expect(
        await plant(async () =>
          db('outbox')
            .where(await lastId())
            .update({ object_type: 'license' }),
        ),
      ).toMatch(/tells of a license/)
      expect(
        await plant(async () => db('settings').update({ updated_at: new Date() }), 'GET /settings'),
      ).toMatch(/^changed untold: .*`settings`/)
    },
  )
})
