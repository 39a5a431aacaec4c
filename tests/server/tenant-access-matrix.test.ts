import type { Hono } from 'hono'
import { describe, expect } from 'vitest'
import { findCurrentSubscription } from '../../src/core/billing/subscription-store.js'
import type { Context } from '../../src/core/context.js'
import { putOverride } from '../../src/core/entitlements/entitlement-store.js'
import { addMember, changeRole, removeMember } from '../../src/core/identity/change-members.js'
import { addToken, createToken } from '../../src/core/identity/create-token.js'
import { disableUser } from '../../src/core/identity/disable-user.js'
import { invite } from '../../src/core/identity/invite.js'
import { type Permission, permissions, ROLES, type Role } from '../../src/core/identity/roles.js'
import { hashTokenSecret, mintTokenSecret } from '../../src/core/identity/token.js'
import { insertToken } from '../../src/core/identity/token-store.js'
import { newId } from '../../src/core/ids.js'
import { updateBranding, updateSettings } from '../../src/core/tenants/change-settings.js'
import { reinstateTenant, suspendTenant } from '../../src/core/tenants/change-status.js'
import { TENANT_STATUSES } from '../../src/core/tenants/tenant.js'
import { type App, createApp } from '../../src/server/app.js'
import type { ServerEnv } from '../../src/server/env.js'
import { tenantOperations } from '../../src/server/tenant/operations.js'
import { test as house } from '../support/house.js'
import { makeMember, makePerson, type Person } from '../support/member.js'
import { freshWord } from '../support/platform.js'
import {
  BASES,
  contentsOf,
  type Mounted,
  makeApiKey,
  makeInvoice,
  makeLicense,
  mounted,
  openSite,
  routesOf,
  type Site,
  send,
  TENANT_ROUTES,
  tenantRoutes,
  type Wish,
  widenPlan,
} from '../support/routes.js'

type Sent = Readonly<Record<string, string>>

const bearer = (token: string, tenantId?: string): Sent => ({
  Authorization: `Bearer ${token}`,
  ...(tenantId === undefined ? {} : { 'X-Tenant-ID': tenantId }),
})

const test = house
  .extend('plans', { scope: 'file' }, async ({ ctx }) => widenPlan(ctx))
  .extend('site', async ({ ctx, plans: _ }) => openSite(ctx))
  .extend('observed', { scope: 'file' }, async ({ ctx, app, plans: _ }) =>
    askAsEveryRole(app, await openSite(ctx), tenantRoutes),
  )
  .extend('sites', { scope: 'file' }, async ({ ctx, app, plans: _ }) => ({
    a: await furnish(ctx, app, 7_001),
    b: await furnish(ctx, app, 7_002),
    c: await furnish(ctx, app, 7_003),
  }))

/** One request for each route, which all who are refused may share: nothing comes of it. */
async function wishesOf(
  site: Site,
  routes: readonly Mounted[] = tenantRoutes,
): Promise<ReadonlyMap<Mounted, Wish>> {
  const wishes = new Map<Mounted, Wish>()
  for (const route of routes) wishes.set(route, await route.prepare(site))
  return wishes
}

/** How many routes there are, and how many of them are read: these are tried by HEAD too. */
const [ALL, READ] = [112, 52]

/** A caller, with what they are told whatever they ask for. */
type Refused = { readonly who: string; readonly headers: Sent; readonly said: string }

/** Every route refuses every one of these, also as a HEAD where it is a GET, and nothing is written. */
async function assertRefused(app: App, site: Site, callers: readonly Refused[]): Promise<number> {
  const wishes = await wishesOf(site)
  const before = await contentsOf(site.ctx, site)
  const [answers, expected]: [string[], string[]] = [[], []]
  for (const [{ name, method }, wish] of wishes) {
    const asked = callers.flatMap(({ who, headers, said }) => [
      { who, headers, method, as: name, said },
      ...(method === 'GET'
        ? [{ who, headers, method: 'HEAD', as: 'HEAD', said: said.split(' ')[0] }]
        : []),
    ])
    expected.push(...asked.map(({ who, as, said }) => `${who}: ${as}: ${said}`))
    answers.push(
      ...(await Promise.all(
        asked.map(
          async ({ who, headers, method, as }) =>
            `${who}: ${as}: ${(await send(app, method, wish, headers)).said}`,
        ),
      )),
    )
  }

  expect(answers).toEqual(expected)
  expect(await contentsOf(site.ctx, site)).toEqual(before)
  return answers.length
}

/** Every route opens to every one of these, each time for a thing of its own. No file is made for a HEAD. */
async function assertOpen(
  app: App,
  site: Site,
  callers: readonly Omit<Refused, 'said'>[],
): Promise<number> {
  const [answers, expected]: [string[], string[]] = [[], []]
  for (const route of tenantRoutes) {
    for (const { who, headers } of callers) {
      const wish = await route.prepare(site)
      answers.push(`${who}: ${route.name}: ${(await send(app, route.method, wish, headers)).said}`)
      expected.push(`${who}: ${route.name}: ${route.success}`)
      if (route.method !== 'GET') continue
      answers.push(`${who}: HEAD: ${(await send(app, 'HEAD', wish, headers)).said}`)
      expected.push(`${who}: HEAD: ${route.name.endsWith('/export') ? 405 : 200}`)
    }
  }

  expect(answers).toEqual(expected)
  return answers.length
}

/** What one role was told by one route. */
type Cell = {
  readonly route: Mounted
  readonly role: Role
  readonly said: string
}

type Table = Readonly<Record<Permission, readonly Role[]>>

const REFUSED_ROLE = '403 AUTH.INSUFFICIENT_PERMISSIONS'

/** Cells that say another thing than a table of permissions. */
const faultsOf = (cells: readonly Cell[], table: Table): string[] =>
  cells
    .filter(({ route: { permission, success }, role, said }) =>
      table[permission].includes(role) ? said !== String(success) : said !== REFUSED_ROLE,
    )
    .map(({ route, role, said }) => `${role}: ${route.name}: ${said}`)

/** Asks every route as every role. Those that the table refuses go first, and share what they ask about. */
async function askAsEveryRole(app: App, site: Site, routes: readonly Mounted[]) {
  const tokens = new Map<Role, string>()
  for (const role of ROLES) tokens.set(role, (await makeMember(site.ctx, site.slug, role)).token)
  const wishes = await wishesOf(site, routes)
  const before = await contentsOf(site.ctx, site)
  let after = before
  const cells: Cell[] = []
  for (const isAllowed of [false, true]) {
    for (const route of routes) {
      for (const [role, token] of tokens) {
        const allowed: readonly Role[] = permissions[route.permission]
        if (allowed.includes(role) !== isAllowed) continue
        const wish = isAllowed ? await route.prepare(site) : wishes.get(route)
        const { said } = await send(app, route.method, wish ?? { path: '' }, bearer(token))
        cells.push({ route, role, said })
      }
    }
    if (!isAllowed) after = await contentsOf(site.ctx, site)
  }
  return { cells, before, after }
}

describe('the routes of the Tenant API', () => {
  test('are those that are listed, with the permission that is listed', ({ app }) => {
    const listed = tenantRoutes.map(({ name }) => name)
    const named = tenantOperations.map(({ method, path, permission, answers }) => {
      const name = `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`
      return [name, { permission, success: Number(Object.keys(answers)[0]) }]
    })

    expect(routesOf(app, '/tenant').toSorted()).toEqual(listed.toSorted())
    expect(listed).toHaveLength(ALL)
    expect(Object.fromEntries(named)).toEqual(
      Object.fromEntries(
        Object.entries(TENANT_ROUTES).map(([name, { permission, success = 200 }]) => [
          name,
          { permission, success },
        ]),
      ),
    )
  })

  test('use every permission that there is, so that none is untried', () => {
    const used = new Set(tenantRoutes.map(({ permission }) => permission))

    expect([...used].toSorted()).toEqual(Object.keys(permissions).toSorted())
  })
})

describe('a role', () => {
  test('opens what the table of permissions gives it, and nothing else', ({ observed }) => {
    const { cells } = observed

    expect(cells).toHaveLength(ALL * ROLES.length)
    expect(faultsOf(cells, permissions)).toEqual([])
  })

  test('that is refused has written nothing, anywhere', ({ observed }) => {
    expect(observed.after).toEqual(observed.before)
  })

  test('that wrote one value would be seen', async ({ ctx, site }) => {
    const before = await contentsOf(ctx, site)
    await updateSettings(site.scope, { 'licenses.trial_days': 15 })
    const written = await contentsOf(ctx, site)
    await ctx.platform('tenants').where({ id: site.id }).update({ status_reason: 'x' })
    const both = await contentsOf(ctx, site)

    const changed = (one: string[], other: string[]) =>
      other.filter((line) => !one.includes(line)).map((line) => /`(\w+)`:/.exec(line)?.[1])
    expect(changed(before, written)).toEqual(['outbox', 'settings'])
    expect(changed(written, both)).toEqual(['tenants'])
  })

  test('that the table had by mistake would be seen, on every route', ({ observed }) => {
    const seen: string[] = []
    for (const permission of Object.keys(permissions) as Permission[]) {
      for (const role of ROLES) {
        const granted: readonly Role[] = permissions[permission]
        const flipped = granted.includes(role)
          ? granted.filter((each) => each !== role)
          : [...granted, role]
        const faults = faultsOf(observed.cells, { ...permissions, [permission]: flipped })
        const routes = tenantRoutes.filter((route) => route.permission === permission)
        expect(faults).toHaveLength(routes.length)
        expect(faults.every((fault) => fault.startsWith(`${role}: `))).toBe(true)
        seen.push(...faults)
      }
    }

    expect(new Set(seen)).toHaveLength(ALL * ROLES.length)
  })

  test('that a route forgets to ask about is found out', async ({ ctx, site }) => {
    await using planted = createApp(ctx, async () => ({ ready: true }))
    const router = planted as App & Hono<ServerEnv>
    const name = 'POST /v1/tenant/planted'
    router.post('/v1/tenant/planted', (c) => c.json({}))
    const route = mounted(name, { permission: 'settings.write' })

    const { cells } = await askAsEveryRole(planted, site, [route])
    const unlisted = routesOf(planted, '/tenant').filter(
      (each) => !tenantRoutes.some((listed) => listed.name === each),
    )

    expect(unlisted).toEqual([name])
    expect(faultsOf(cells, permissions)).toEqual([
      `developer: ${name}: 200`,
      `viewer: ${name}: 200`,
    ])
  })

  test('that is none of ours opens nothing', async ({ ctx, app, site }) => {
    const callers: Refused[] = []
    for (const role of ['superuser', 'Owner', 'OWNER', 'owner ', 'owner,admin', '*', '']) {
      const { id, token } = await makeMember(ctx, site.slug, 'owner')
      await ctx.platform('tenant_users').where({ user_id: id }).update({ role })
      callers.push({ who: `"${role}"`, headers: bearer(token), said: '403 AUTH.FORBIDDEN' })
    }

    await assertRefused(app, site, callers)
  })

  test('is asked for with each request: who is demoted or removed is refused by the next', async ({
    ctx,
    app,
    site,
  }) => {
    const { id, token } = await makeMember(ctx, site.slug, 'developer')
    const write = async () => {
      const body = { code: site.name(), name: 'P' }
      return (await send(app, 'POST', { path: '/v1/tenant/products', body }, bearer(token))).said
    }
    const before = await write()
    await changeRole(ctx, { id: site.id }, { user_id: id, role: 'viewer' })
    const demoted = await write()
    await removeMember(ctx, { id: site.id }, { user_id: id })

    expect([before, demoted, await write()]).toEqual(['201', REFUSED_ROLE, '403 AUTH.FORBIDDEN'])
  })

  test('makes, changes and removes an owner only as an owner', async ({ ctx, app, site }) => {
    const [answers, expected]: [string[], string[]] = [[], []]
    for (const by of ['owner', 'admin'] as const) {
      const caller = await makeMember(ctx, site.slug, by)
      const ask = async (
        what: string,
        method: string,
        wish: Wish,
        roles: readonly Role[],
        success = 200,
      ) => {
        const path = `/v1/tenant${wish.path}`
        const { said } = await send(app, method, { ...wish, path }, bearer(caller.token))
        const isRefused = by === 'admin' && roles.includes('owner')
        answers.push(`${by} ${what}: ${said}`)
        expected.push(`${by} ${what}: ${isRefused ? REFUSED_ROLE : success}`)
      }
      for (const from of ROLES) {
        for (const role of ROLES) {
          const { id } = await makeMember(ctx, site.slug, from)
          const wish = { path: `/members/${id}`, body: { role } }
          await ask(`${from} to ${role}`, 'PATCH', wish, [from, role])
        }
        const { id } = await makeMember(ctx, site.slug, from)
        await ask(`removes ${from}`, 'DELETE', { path: `/members/${id}` }, [from])
        const input = { email: `${freshWord()}@example.com`, role: from }
        const { result } = await invite(ctx, { id: site.id }, input)
        const open = { path: `/invitations/${result.invitation.id}` }
        await ask(`takes back ${from}`, 'DELETE', open, [from])
        const body = { email: `${freshWord()}@example.com`, role: from }
        await ask(`invites ${from}`, 'POST', { path: '/invitations', body }, [from], 201)
      }
      const self = { path: `/members/${caller.id}`, body: { role: 'owner' } }
      await ask('self to owner', 'PATCH', self, ['owner'])
    }

    expect(answers).toHaveLength(2 * (4 * 7 + 1))
    expect(answers).toEqual(expected)
  })
})

describe('a token', () => {
  const tokenWith = async (ctx: Context, person: Person, abilities: readonly string[]) =>
    (await addToken(ctx, ctx.platform, person, { name: 't', abilities, expiresAt: undefined }))
      .plainText

  test('opens the Tenant API by "tenant" or "*"', async ({ ctx, app, site }) => {
    const owner = await makeMember(ctx, site.slug, 'owner')
    const callers = []
    for (const abilities of [['tenant'], ['*'], ['admin', 'tenant']]) {
      const headers = bearer(await tokenWith(ctx, owner, abilities))
      callers.push({ who: JSON.stringify(abilities), headers })
    }

    expect(await assertOpen(app, site, callers)).toBe((ALL + READ) * 3)
  })

  test('opens nothing of it by any other ability', async ({ ctx, app, site }) => {
    const owner = await makeMember(ctx, site.slug, 'owner')
    const callers: Refused[] = []
    const said = '403 AUTH.TOKEN.INVALID_SCOPE'
    for (const abilities of [
      ['admin'],
      [],
      ['licenses'],
      ['Tenant', 'TENANT', 'tenant ', ' tenant'],
      ['tenant:read', 'tenant.*', 'tenants', 'ten*'],
      ['**', '*:*', '* ', ''],
    ]) {
      const headers = bearer(await tokenWith(ctx, owner, abilities))
      callers.push({ who: JSON.stringify(abilities), headers, said })
    }
    for (const abilities of [null, '', 'tenant', '"tenant"', '[["tenant"]]', '["tenant"']) {
      const token = await tokenWith(ctx, owner, [])
      const [id] = token.split('|')
      await ctx.platform('personal_access_tokens').where({ id }).update({ abilities })
      callers.push({ who: String(abilities), headers: bearer(token), said })
    }

    expect(await assertRefused(app, site, callers)).toBe(callers.length * (ALL + READ))
  })

  test('of an admin opens nothing of it, whatever its abilities', async ({ ctx, app, site }) => {
    const owner = await makeMember(ctx, site.slug, 'owner')
    const email = `${freshWord()}@example.com`
    // the same number as the owner's: only the type tells them apart
    await ctx.platform('admins').insert({ id: owner.id, name: 'A', email })
    const { tokenableAdmin, tokenableUser } = ctx.config
    const callers: Refused[] = []
    for (const [tokenableType, abilities, said] of [
      [tokenableAdmin, ['*'], '403 AUTH.FORBIDDEN'],
      [tokenableAdmin, ['tenant'], '403 AUTH.FORBIDDEN'],
      [tokenableAdmin, ['admin'], '403 AUTH.TOKEN.INVALID_SCOPE'],
      ['App\\Models\\Customer', ['*'], '401 AUTH.UNAUTHENTICATED'],
      [tokenableUser.toLowerCase(), ['*'], '401 AUTH.UNAUTHENTICATED'],
      ['', ['*'], '401 AUTH.UNAUTHENTICATED'],
    ] as const) {
      const secret = mintTokenSecret()
      const id = await insertToken(
        ctx.platform,
        {
          tokenableType,
          tokenableId: owner.id,
          name: 't',
          hash: hashTokenSecret(secret),
          abilities,
          expiresAt: undefined,
        },
        new Date(),
      )
      const token = `${id}|${secret}`
      const who = `${tokenableType} ${abilities}`
      callers.push(
        { who, headers: bearer(token), said },
        { who: `${who}, with the tenant`, headers: bearer(token, site.id), said },
      )
    }

    await assertRefused(app, site, callers)
  })
})

describe('a credential', () => {
  test('that is missing, broken, unknown or over opens no route', async ({ ctx, app, site }) => {
    const { token, email } = await makeMember(ctx, site.slug, 'owner')
    const [id = '', secret = ''] = token.split('|')
    const another = (await makeMember(ctx, site.slug, 'owner')).token
    const [, theirSecret = ''] = another.split('|')
    const late = (await createToken(ctx, { user: email })).plainText
    await ctx
      .platform('personal_access_tokens')
      .where({ id: late.split('|')[0] })
      .update({ expires_at: new Date(0) })
    const loggedOut = (await createToken(ctx, { user: email })).plainText
    await send(app, 'POST', { path: '/v1/auth/logout' }, bearer(loggedOut))
    const disabled = await makeMember(ctx, site.slug, 'owner')
    await disableUser(ctx, { user: disabled.email })
    // as Laravel does it: the tokens are left
    const people = []
    for (const change of [{ disabled_at: new Date() }, { deleted_at: new Date() }]) {
      const person = await makeMember(ctx, site.slug, 'owner')
      await ctx.platform('users').where({ id: person.id }).update(change)
      people.push(person)
    }
    const [unable, deleted] = people.map((person) => person.token)
    const stranger = await makePerson(ctx)
    const input = { email: `${freshWord()}@example.com`, role: 'owner' }
    const { result: invited } = await invite(ctx, { id: site.id }, input)

    const none: Readonly<Record<string, Sent>> = {
      'no header': {},
      'an empty header': { Authorization: '' },
      'an API key in its own header': { 'X-API-Key': site.apiKey },
      'a token in the header of API keys': { 'X-API-Key': token },
      'a token in a cookie': { Cookie: `token=${token}; Authorization=Bearer ${token}` },
      'a token in the header of a proxy': { 'Proxy-Authorization': `Bearer ${token}` },
    }
    const wrong: Readonly<Record<string, string>> = {
      'no scheme': token,
      'another scheme': `Basic ${Buffer.from(token).toString('base64')}`,
      'a scheme alone': 'Bearer',
      'no secret': `Bearer ${id}|`,
      'no id': `Bearer |${secret}`,
      'an id that is no number': `Bearer ${id}x|${secret}`,
      'two tokens': `Bearer ${token} ${token}`,
      'a list': `Bearer ${token}, Bearer ${token}`,
      'a secret in capitals': `Bearer ${id}|${secret.toUpperCase()}`,
      'a shorter secret': `Bearer ${id}|${secret.slice(0, -1)}`,
      'a longer secret': `Bearer ${id}|${secret}0`,
      'the secret of another token': `Bearer ${id}|${theirSecret}`,
      'a hash': `Bearer ${id}|${hashTokenSecret(secret)}`,
      'an id that nobody has': `Bearer 999999999|${secret}`,
      'a secret that nobody has': `Bearer ${mintTokenSecret()}`,
      'an API key': `Bearer ${site.apiKey}`,
      'an invitation': `Bearer ${invited.token}`,
      'a token that was logged out': `Bearer ${loggedOut}`,
      'a token that has expired': `Bearer ${late}`,
      'a token of a user who was disabled': `Bearer ${disabled.token}`,
      'a token of a user who is disabled': `Bearer ${unable}`,
      'a token of a user who is deleted': `Bearer ${deleted}`,
    }
    const callers: Refused[] = [
      ...Object.entries(none).map(([who, headers]) => ({
        who,
        headers,
        said: '401 AUTH.TOKEN.REQUIRED',
      })),
      ...Object.entries(wrong).map(([who, authorization]) => ({
        who,
        headers: { Authorization: authorization, 'X-API-Key': site.apiKey, 'X-Tenant-ID': site.id },
        said: '401 AUTH.UNAUTHENTICATED',
      })),
      { who: 'a stranger', headers: bearer(stranger.token), said: '403 AUTH.FORBIDDEN' },
      {
        who: 'a stranger who names the tenant',
        headers: bearer(stranger.token, site.id),
        said: '404 TENANT.NOT_FOUND',
      },
    ]

    expect(await assertRefused(app, site, callers)).toBe(callers.length * (ALL + READ))
    // the one that the others were made of is good
    expect(await assertOpen(app, site, [{ who: 'owner', headers: bearer(token) }])).toBe(ALL + READ)
  })

  test('of a member opens no route of the Integration API', async ({ ctx, app, site }) => {
    const { email } = await makeMember(ctx, site.slug, 'owner')
    const { plainText } = await createToken(ctx, { user: email, abilities: ['*'] })
    const { key } = await makeLicense(site)
    const before = await contentsOf(ctx, site)
    const answers = []
    for (const name of routesOf(app, '/integration')) {
      const [method = '', pattern = ''] = name.split(' ')
      const wish = { path: pattern.replace(/:\w+/, key), body: { license_key: key } }
      for (const headers of [
        bearer(plainText, site.id),
        { 'X-API-Key': plainText },
        { 'X-API-Key': `Bearer ${plainText}` },
        { ...bearer(plainText), 'X-API-Key': plainText.split('|')[1] ?? '' },
      ]) {
        answers.push((await send(app, method, wish, headers)).said)
      }
    }

    expect(answers).toEqual(Array(10 * 4).fill('401 AUTH.INVALID_API_KEY'))
    expect(await contentsOf(ctx, site)).toEqual(before)
  })
})

/** What is found in the answers of one tenant, and in those of no other. */
type Furnished = Site & { readonly marks: readonly string[]; readonly person: Person }

/** Something of the tenant's own in each of its lists, all called after it. */
async function furnish(ctx: Context, app: App, days: number): Promise<Furnished> {
  const site = await openSite(ctx)
  const { scope, slug, apiKey } = site
  const person = await makeMember(ctx, slug, 'developer')
  for (const route of tenantRoutes) if (route.missing !== undefined) await route.prepare(site)
  await updateBranding(scope, { display_name: slug })
  await updateSettings(scope, { 'licenses.subscription_days': days })
  await putOverride(scope.db, { code: slug, type: 'boolean', value: true }, new Date())
  await scope.db('usage_snapshots').insert({
    id: newId(),
    code: slug,
    subject: 'tenant',
    period_start: new Date(0),
    period_end: new Date(0),
    value: 1,
    created_at: new Date(),
  })
  const license = await makeLicense(site, { entitlements: { [slug]: 100 } })
  const used = await send(
    app,
    'POST',
    {
      path: '/v1/integration/usage/record',
      body: { license_key: license.key, metric: slug, quantity: 1 },
    },
    { 'X-API-Key': apiKey },
  )
  expect(used.said).toBe('202')
  const subscription = await findCurrentSubscription(ctx.platform, site.id)
  const settings = `"licenses.subscription_days":${days}`
  return {
    ...site,
    person,
    marks: [slug, site.id, person.email, subscription?.id ?? '-', settings],
  }
}

const hasMark = (text: string, { marks }: Furnished): boolean =>
  marks.some((mark) => text.includes(mark))

/** Lists, and what there is one of. Plans are everybody's. */
const showsAll = ({ method, name, missing }: Mounted): boolean =>
  method === 'GET' && missing === undefined && !name.endsWith('/plans')

describe('a tenant', () => {
  test('is the one that the header names, among the user’s own, with the role in it', async ({
    ctx,
    app,
    sites,
  }) => {
    const { a, b, c } = sites
    const closed = await openSite(ctx)
    await suspendTenant(ctx, { slug: closed.slug })
    const join = async (...roles: readonly (readonly [Site, Role])[]) => {
      const person = await makePerson(ctx)
      for (const [{ id }, role] of roles) await addMember(ctx, { id }, { user: person.email, role })
      return { token: person.token, roles: new Map(roles.map(([{ id }, role]) => [id, role])) }
    }
    const users = {
      one: await join([a, 'owner'], [b, 'viewer']),
      two: await join([b, 'owner'], [c, 'developer']),
    }
    const targets: Readonly<Record<string, string | undefined>> = {
      a: a.id,
      b: b.id,
      c: c.id,
      nobody: undefined,
      unknown: newId(),
      suspended: closed.id,
      slug: a.slug,
    }
    const all = [a, b, c]
    const shared = new Map<Furnished, ReadonlyMap<Mounted, Wish>>()
    for (const site of all) shared.set(site, await wishesOf(site))
    const before = await contentsOf(ctx, ...all)

    const [answers, expected]: [string[], string[]] = [[], []]
    const [leaks, lacks]: [string[], string[]] = [[], []]
    for (const isAllowed of [false, true]) {
      for (const [who, { token, roles }] of Object.entries(users)) {
        for (const [target, tenantId] of Object.entries(targets)) {
          const role = roles.get(tenantId ?? '')
          const site = all.find(({ id }) => id === tenantId) ?? a
          for (const route of tenantRoutes) {
            const granted: readonly Role[] = permissions[route.permission]
            if ((role !== undefined && granted.includes(role)) !== isAllowed) continue
            const wish = isAllowed ? await route.prepare(site) : shared.get(site)?.get(route)
            const headers = bearer(token, tenantId)
            const answer = await send(app, route.method, wish ?? { path: '' }, headers)
            const cell = `${who} in ${target}: ${route.name}`
            answers.push(`${cell}: ${answer.said}${namedIn(answer.text)}`)
            expected.push(`${cell}: ${expectedOf(route, target, role, isAllowed)}`)
            for (const other of all)
              if ((other !== site || !isAllowed) && hasMark(answer.text, other)) leaks.push(cell)
            if (isAllowed && showsAll(route) && !hasMark(answer.text, site)) lacks.push(cell)
          }
        }
      }
      if (!isAllowed) expect(await contentsOf(ctx, ...all)).toEqual(before)
    }

    expect(answers).toEqual(expected)
    expect({ leaks, lacks }).toEqual({ leaks: [], lacks: [] })
    expect(answers).toHaveLength(2 * 7 * ALL)
  })

  test('opens nothing of its own through another: no id, on any route', async ({
    ctx,
    app,
    sites: { a, b },
  }) => {
    const person = await makePerson(ctx)
    for (const { id } of [a, b]) await addMember(ctx, { id }, { user: person.email, role: 'owner' })
    const routes = tenantRoutes.filter(({ missing }) => missing !== undefined)
    const wishes = await wishesOf(b, routes)
    const before = await contentsOf(ctx, a, b)
    const foreign = []
    for (const [{ name, method }, wish] of wishes) {
      const { said, text } = await send(app, method, wish, bearer(person.token, a.id))
      foreign.push(`${name}: ${said}${hasMark(text, b) ? ' leaks' : ''}`)
    }
    const after = await contentsOf(ctx, a, b)
    // the same requests are good, where the things are
    const own = []
    for (const [{ name, method }, wish] of wishes) {
      own.push(`${name}: ${(await send(app, method, wish, bearer(person.token, b.id))).said}`)
    }

    expect(routes.map(({ name }) => name)).toEqual(
      routesOf(app, '/tenant').filter((name) => name.includes(':')),
    )
    expect(foreign).toEqual(routes.map(({ name, missing }) => `${name}: 404 ${missing}`))
    expect(after).toEqual(before)
    expect(own).toEqual(routes.map(({ name, success }) => `${name}: ${success}`))
  })

  test('opens nothing of its own through another: no other name of it', async ({
    ctx,
    app,
    sites: { a, b },
  }) => {
    const person = await makePerson(ctx)
    for (const { id } of [a, b]) await addMember(ctx, { id }, { user: person.email, role: 'owner' })
    const [license, apiKey, invoice] = [
      await makeLicense(b),
      await makeApiKey(b),
      await makeInvoice(b),
    ]
    const names: Readonly<Record<string, readonly string[]>> = {
      licenseId: [license.key],
      apiKeyId: [apiKey.prefix, apiKey.lastFour],
      invoiceId: [invoice.number],
    }
    const before = await contentsOf(ctx, a, b)
    const [answers, expected]: [string[], string[]] = [[], []]
    for (const route of tenantRoutes) {
      const [, pattern = ''] = route.name.split(' ')
      for (const name of names[/:(\w+)/.exec(pattern)?.[1] ?? ''] ?? []) {
        const wish = { path: pattern.replace(/:\w+/, name), body: route.body?.(a) }
        const { said } = await send(app, route.method, wish, bearer(person.token, a.id))
        answers.push(`${route.name}: ${said}`)
        expected.push(`${route.name}: 404 ${route.missing}`)
      }
    }

    expect(answers).toEqual(expected)
    expect(answers).toHaveLength(2 * (7 + 3 * 2 + 1))
    expect(await contentsOf(ctx, a, b)).toEqual(before)
  })

  test('is not reached by what a body, a filter or a cursor says', async ({
    ctx,
    app,
    sites: { a, b },
  }) => {
    const person = await makePerson(ctx)
    for (const { id } of [a, b]) await addMember(ctx, { id }, { user: person.email, role: 'owner' })
    const [ours, theirs] = [await makeLicense(a), await makeLicense(b)]
    const key = await makeApiKey(b)
    const ask = (method: string, path: string, body?: unknown, site: Site = a) =>
      send(app, method, { path: `/v1/tenant${path}`, body }, bearer(person.token, site.id))
    const product = b.slug
    const before = await contentsOf(ctx, a, b)

    const bodies = []
    for (const [path, body] of [
      ['/licenses', { product }],
      ['/licenses/batch', { licenses: [{ product }] }],
      [`/licenses/${ours.id}/move`, { product }],
    ] as const) {
      bodies.push((await ask('POST', path, body)).said)
    }
    const filters = []
    for (const path of [
      `/products?code=${product}`,
      `/licenses?product=${product}`,
      `/licenses?search=${product}`,
      `/licenses?search=${theirs.key}`,
      `/activations?license=${theirs.id}`,
      `/activations?license=${theirs.key}`,
      `/activations?instance_id=${b.slug}`,
      `/usage/counters?license=${theirs.id}`,
      `/usage/counters?code=${b.slug}`,
      `/usage/events?license=${theirs.key}`,
      `/usage/events?code=${b.slug}`,
      `/usage/snapshots?code=${b.slug}`,
      `/audit?object_id=${key.id}`,
      `/audit?object_id=${b.person.id}`,
    ]) {
      const { said, text } = await ask('GET', path)
      filters.push(`${path}: ${said} ${JSON.stringify(JSON.parse(text).data?.items)}`)
    }
    const cursors = []
    for (const path of [
      '/products',
      '/licenses',
      '/activations',
      '/usage/counters',
      '/api-keys',
      '/webhooks',
      '/invoices',
      '/members',
      '/invitations',
      '/audit',
    ]) {
      const first = await ask('GET', `${path}?limit=1`, undefined, b)
      const cursor = JSON.parse(first.text).data.next_cursor
      const { said, text } = await ask('GET', `${path}?cursor=${cursor}`)
      cursors.push([path, typeof cursor, said, hasMark(text, b)])
    }

    expect(bodies).toEqual(Array(3).fill('404 PRODUCT.NOT_FOUND'))
    expect(filters).toEqual(filters.map((line) => line.replace(/: .*/, ': 200 []')))
    expect(cursors).toEqual(cursors.map(([path]) => [path, 'string', '200', false]))
    expect(await contentsOf(ctx, a, b)).toEqual(before)
  })

  test('keeps an Idempotency-Key to itself', async ({ ctx, app, sites: { a, b } }) => {
    const person = await makePerson(ctx)
    for (const { id } of [a, b]) await addMember(ctx, { id }, { user: person.email, role: 'owner' })
    const making = tenantRoutes.filter(
      ({ success, missing }) => success === 201 && missing === undefined,
    )
    const answers = []
    for (const [index, route] of making.entries()) {
      const wish = await route.prepare(a)
      const texts = []
      for (const { id } of [a, b, a]) {
        const headers = { ...bearer(person.token, id), 'Idempotency-Key': `key-${index}` }
        const { said, headers: given, text } = await send(app, route.method, wish, headers)
        texts.push(JSON.stringify(JSON.parse(text).data))
        answers.push([said, given.get('Idempotency-Replayed')])
      }
      answers.push([texts[0] === texts[1], texts[0] === texts[2]])
    }

    const each = [
      ['201', null],
      ['201', null],
      ['201', 'true'],
      [false, true],
    ]
    expect(making).toHaveLength(6 * 2)
    expect(answers).toEqual(making.flatMap(() => each))
  })
})

/** Of a refusal of the header: that it is the header that is refused. */
const namedIn = (text: string): string => (text.includes('"X-Tenant-ID":[') ? ' X-Tenant-ID' : '')

function expectedOf(
  { success }: Mounted,
  target: string,
  role: Role | undefined,
  isAllowed: boolean,
): string {
  if (target === 'nobody' || target === 'slug') return '422 VALIDATION.FAILED X-Tenant-ID'
  if (role === undefined) return '404 TENANT.NOT_FOUND'
  return isAllowed ? String(success) : REFUSED_ROLE
}

describe('a tenant that is not open', () => {
  test.for(TENANT_STATUSES.filter((status) => status !== 'active'))(
    'opens to no member, on no route, while it is %s',
    async (status, { ctx, app, site }) => {
      const said =
        status === 'suspended' ? '403 TENANT.STATUS.SUSPENDED' : '403 TENANT.INVALID_STATE'
      const callers: Refused[] = []
      for (const role of ROLES) {
        const { token } = await makeMember(ctx, site.slug, role)
        callers.push({ who: role, headers: bearer(token, site.id), said })
      }
      await ctx.platform('tenants').where({ id: site.id }).update({ status })

      expect(await assertRefused(app, site, callers)).toBe(ROLES.length * (ALL + READ))
    },
  )

  test('is closed with the next request, is open again with the next, and no other with it', async ({
    ctx,
    app,
    site,
  }) => {
    const other = await openSite(ctx)
    const { token, email } = await makeMember(ctx, site.slug, 'owner')
    await addMember(ctx, { id: other.id }, { user: email, role: 'viewer' })
    const answers = []
    for (const route of tenantRoutes.filter(({ name }) => name.endsWith('/products'))) {
      for (const change of [suspendTenant, reinstateTenant]) {
        for (const { id } of [site, other]) {
          const { said } = await send(
            app,
            route.method,
            await route.prepare(site),
            bearer(token, id),
          )
          answers.push(said)
        }
        await change(ctx, { slug: site.slug })
      }
    }

    expect(answers).toEqual(
      BASES.flatMap(() => [
        ...['200', '200', '403 TENANT.STATUS.SUSPENDED', '200'],
        ...['201', REFUSED_ROLE, '403 TENANT.STATUS.SUSPENDED', REFUSED_ROLE],
      ]),
    )
  })
})
