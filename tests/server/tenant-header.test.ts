import { describe, expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { addMember } from '../../src/core/identity/change-members.js'
import { chooseTenant } from '../../src/core/identity/choose-tenant.js'
import { listMemberships, type Membership } from '../../src/core/identity/token-store.js'
import { newId } from '../../src/core/ids.js'
import { createProduct } from '../../src/core/products/create-product.js'
import { suspendTenant } from '../../src/core/tenants/change-status.js'
import { test as house } from '../support/house.js'
import { makePerson } from '../support/member.js'
import { openRawHttp, type RawHttp } from '../support/raw-http.js'
import { openSite, refusalOf, type Site, send, tenantRoutes } from '../support/routes.js'

const PRODUCTS = '/v1/tenant/products'

/** What spellings are made of. `id` is the tenant that they come close to naming. */
type Names = {
  readonly id: string
  readonly slug: string
  readonly database: string
  /** The user's other tenant, and one of others. */
  readonly other: string
  readonly otherSlug: string
  readonly foreign: string
  readonly foreignSlug: string
  readonly suspended: string
  readonly userId: string
}

/** Text as the bytes that go over the wire, one character each. */
const utf8 = (text: string): string => Buffer.from(text).toString('latin1')

const mapped = (text: string, from: string, to: string): string =>
  [...text].map((each) => [...to][from.indexOf(each)] ?? each).join('')

const DIGITS = '0123456789'
const wide = (id: string) => mapped(id, `${DIGITS}abcdef-`, '０１２３４５６７８９ａｂｃｄｅｆ－')

/** How the header may be written. One that names a tenant of the user to the letter is among them too. */
const SPELLINGS: Readonly<Record<string, (names: Names) => string>> = {
  // padding that HTTP takes away, so that what arrives is the name itself
  exact: ({ id }) => id,
  'the other one': ({ other }) => other,
  'a blank before': ({ id }) => ` ${id}`,
  'blanks around': ({ id }) => `   ${id}   `,
  'tabs around': ({ id }) => `\t${id}\t`,

  // padding that it leaves
  'a no-break space before, as one byte': ({ id }) => `\u00a0${id}`,
  'a no-break space behind, as one byte': ({ id }) => `${id}\u00a0`,
  'a next-line mark behind, as one byte': ({ id }) => `${id}\u0085`,
  'a no-break space before': ({ id }) => utf8(`\u00a0${id}`),
  'an ideographic space behind': ({ id }) => utf8(`${id}\u3000`),
  'a byte order mark before': ({ id }) => utf8(`\ufeff${id}`),
  'a zero-width space behind': ({ id }) => utf8(`${id}\u200b`),
  'a zero-width joiner within': ({ id }) => utf8(`${id.slice(0, 4)}\u200d${id.slice(4)}`),
  'soft hyphens within': ({ id }) => utf8(id.replaceAll('-', '\u00ad-')),
  'a right-to-left mark before': ({ id }) => utf8(`\u202e${id}`),

  // text around
  'text behind': ({ id }) => `${id}x`,
  'text before': ({ id }) => `x${id}`,
  'a digit behind': ({ id }) => `${id}0`,
  'a slash behind': ({ id }) => `${id}/`,
  'a parameter behind': ({ id }) => `${id};v=1`,
  'a comment behind': ({ id }) => `${id} (mine)`,
  'a fragment behind': ({ id }) => `${id}#`,
  'a query behind': ({ id }) => `${id}?x=1`,
  'a path before': ({ id }) => `/v1/tenants/${id}`,
  'a step up before': ({ id }) => `../${id}`,
  'a name before': ({ id }) => `id=${id}`,
  'a scheme before': ({ id }) => `tenant:${id}`,

  // other forms of a UUID
  capitals: ({ id }) => id.toUpperCase(),
  'one capital': ({ id }) => id.replace(/[a-f]/, (letter) => letter.toUpperCase()),
  braces: ({ id }) => `{${id}}`,
  parentheses: ({ id }) => `(${id})`,
  brackets: ({ id }) => `[${id}]`,
  'angle brackets': ({ id }) => `<${id}>`,
  'a URN': ({ id }) => `urn:uuid:${id}`,
  'no hyphens': ({ id }) => id.replaceAll('-', ''),
  'more hyphens': ({ id }) => id.replaceAll('-', '').replaceAll(/(.{4})(?=.)/g, '$1-'),
  underscores: ({ id }) => id.replaceAll('-', '_'),
  blanks: ({ id }) => id.replaceAll('-', ' '),
  'no-break hyphens': ({ id }) => utf8(id.replaceAll('-', '\u2011')),
  'en dashes': ({ id }) => utf8(id.replaceAll('-', '\u2013')),
  'a prefix for hex': ({ id }) => `0x${id.replaceAll('-', '')}`,
  'as a number': ({ id }) => String(BigInt(`0x${id.replaceAll('-', '')}`)),
  'in base64': ({ id }) => Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64'),
  'as text in base64': ({ id }) => Buffer.from(id).toString('base64'),

  // other letters
  'full-width letters': ({ id }) => utf8(wide(id)),
  'full-width digits': ({ id }) => utf8(mapped(id, DIGITS, '０１２３４５６７８９')),
  'arabic digits': ({ id }) => utf8(mapped(id, DIGITS, '٠١٢٣٤٥٦٧٨٩')),
  'mathematical digits': ({ id }) => utf8(mapped(id, DIGITS, '𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗')),
  'cyrillic letters': ({ id }) => utf8(mapped(`${id}a`, 'ace', 'асе')),
  'an O for a zero': ({ id }) => id.replaceAll('0', 'O'),
  'an l for a one': ({ id }) => id.replaceAll('1', 'l'),
  'an accent': ({ id }) => utf8(`${id}\u0301`),

  // parts, and what is near
  'the last letter is another': ({ id }) => `${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`,
  'the last letter is missing': ({ id }) => id.slice(0, -1),
  'the first letter is missing': ({ id }) => id.slice(1),
  'the first part': ({ id }) => id.split('-')[0] ?? '',
  'the last part': ({ id }) => id.split('-').at(-1) ?? '',
  'the digits that it begins with': ({ id }) => String(Number.parseInt(id, 10)),
  'its digits and text': ({ id }) => `${Number.parseInt(id, 10)}abc`,
  'twice without a break': ({ id }) => `${id}${id}`,

  // lists
  'a list': ({ id, other }) => `${id},${other}`,
  'a list with a blank': ({ id, other }) => `${id}, ${other}`,
  'a list the other way about': ({ id, other }) => `${other}, ${id}`,
  'a list of one twice': ({ id }) => `${id}, ${id}`,
  'a list with a foreign one': ({ id, foreign }) => `${foreign}, ${id}`,
  'a list that ends in nothing': ({ id }) => `${id},`,
  'a list that begins with nothing': ({ id }) => `,${id}`,
  'a list by semicolons': ({ id, other }) => `${id};${other}`,
  'a list by blanks': ({ id, other }) => `${id} ${other}`,
  'a list by tabs': ({ id, other }) => `${id}\t${other}`,
  'a list by bars': ({ id, other }) => `${id}|${other}`,

  // quotes and encodings
  'double quotes': ({ id }) => `"${id}"`,
  'single quotes': ({ id }) => `'${id}'`,
  backticks: ({ id }) => `\`${id}\``,
  'a JSON list': ({ id }) => JSON.stringify([id]),
  'a JSON object': ({ id }) => JSON.stringify({ id }),
  'encoded hyphens': ({ id }) => id.replaceAll('-', '%2d'),
  'an encoded letter': ({ id }) => `%${(id.codePointAt(0) ?? 0).toString(16)}${id.slice(1)}`,
  'an encoded end of text': ({ id }) => `${id}%00`,
  'an encoded end of line': ({ id }) => `${id}%0d%0a`,
  'an encoded blank': ({ id }) => `${id}%20`,
  'an escape of JSON': ({ id }) => id.replaceAll('-', '\\u002d'),
  'an entity of HTML': ({ id }) => id.replaceAll('-', '&#45;'),
  'an encoded word': ({ id }) => `=?utf-8?Q?${id}?=`,
  'an extended value': ({ id }) => `UTF-8''${id}`,

  // SQL
  'SQL behind': ({ id }) => `${id}' or '1'='1`,
  'a comment of SQL behind': ({ id }) => `${id}'-- `,
  'SQL alone': () => "' or 1=1 -- ",
  'a union': ({ id }) => `x' union select '${id}`,
  'a backslash behind': ({ id }) => `${id}\\`,
  'any text': () => '%',
  'any letter': () => '_',
  'any letter at the end': ({ id }) => `${id.slice(0, -1)}_`,
  'any text at the end': ({ id }) => `${id.slice(0, 8)}%`,
  'a star': () => '*',
  'a star at the end': ({ id }) => `${id.slice(0, 8)}*`,
  'an expression': () => '.*',

  // other names
  'its slug': ({ slug }) => slug,
  'its database': ({ database }) => database,
  'the slug of the other one': ({ otherSlug }) => otherSlug,
  'a foreign slug': ({ foreignSlug }) => foreignSlug,
  'the user': ({ userId }) => userId,
  zero: () => '0',
  'minus one': () => '-1',
  'a power of ten': () => '1e3',
  null: () => 'null',
  undefined: () => 'undefined',
  true: () => 'true',
  NaN: () => 'NaN',
  'an object': () => '[object Object]',
  'a name of objects': () => '__proto__',
  default: () => 'default',
  me: () => 'me',

  // nothing, and much
  empty: () => '',
  'a blank': () => ' ',
  'blanks alone': () => ' \t  ',
  'a no-break space alone': () => '\u00a0',
  'a hundred times': ({ id }) => id.repeat(100),
  'a long list': ({ id }) => Array(200).fill(id).join(','),
  long: () => 'a'.repeat(8_000),

  // UUIDs of others, and of nobody
  'a foreign one': ({ foreign }) => foreign,
  'a suspended foreign one': ({ suspended }) => suspended,
  'one of nobody': () => newId(),
  'a random one': () => crypto.randomUUID(),
  'the one of zeros': () => '00000000-0000-0000-0000-000000000000',
  'the one of ones': () => 'ffffffff-ffff-ffff-ffff-ffffffffffff',
}

/** What HTTP itself does not take in a header's value. */
const BROKEN: Readonly<Record<string, (names: Names) => string>> = {
  'an end of text behind': ({ id }) => `${id}\0`,
  'an end of text before': ({ id }) => `\0${id}`,
  'an end of text between two': ({ id, other }) => `${id}\0${other}`,
  'an end of text alone': () => '\0',
  'a control character': ({ id }) => `${id}\u0001`,
  'a delete character': ({ id }) => `${id}\u007f`,
  'an escape': ({ id }) => `\u001b[0m${id}`,
  'a carriage return': ({ id, other }) => `${id}\r${other}`,
  'a line feed': ({ id, other }) => `${id}\n${other}`,
  'a folded line': ({ id, other }) => `${id}\r\n ${other}`,
  'more than a head may hold': ({ id }) => `${id}${'a'.repeat(20_000)}`,
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The value as it arrives: HTTP has no blanks around one (RFC 9110, section 5.5). */
const arriving = (sent: string): string => sent.replace(/^[ \t]+|[ \t]+$/g, '')

/** The UUID that arrives, in the case that ids are kept in. */
const nameIn = (sent: string): string =>
  arriving(sent).replace(/^[0-9a-f-]+$/i, (id) => id.toLowerCase())

type Spelled = { readonly what: string; readonly sent: string }
const spelled = (list: typeof SPELLINGS, names: Names): Spelled[] =>
  Object.entries(list).map(([what, spell]) => ({ what, sent: spell(names) }))

/** Spellings that lead to a tenant which they do not name, in either case, or not to the one that they do. */
async function misreadings(
  spellings: readonly Spelled[],
  own: readonly string[],
  resolve: (sent: string) => Promise<string | undefined> | string | undefined,
): Promise<string[]> {
  const found: string[] = []
  for (const { what, sent } of spellings) {
    const named = own.find((id) => id === nameIn(sent))
    const resolved = await resolve(sent)
    if (resolved !== named) found.push(`${what}: ${resolved}`)
  }
  return found
}

/** Ways to be obliging, each of which somebody has shipped. */
const LENIENT: Readonly<
  Record<string, (wanted: string, memberships: readonly Membership[]) => Membership | undefined>
> = {
  'takes blanks away': (wanted, all) => byId(all, wanted.trim()),
  'takes the first of a list': (wanted, all) => byId(all, wanted.split(/[,;]/)[0]?.trim()),
  'takes the last of a list': (wanted, all) => byId(all, wanted.split(/[,;]/).at(-1)?.trim()),
  'takes what is a UUID': (wanted, all) => byId(all, /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(wanted)?.[0]),
  'reads a number': (wanted, all) =>
    all.find(({ tenant }) => Number.parseInt(tenant.id, 10) === Number.parseInt(wanted, 10)),
  'takes a beginning': (wanted, all) => all.find(({ tenant }) => tenant.id.startsWith(wanted)),
  'takes it anywhere': (wanted, all) => all.find(({ tenant }) => wanted.includes(tenant.id)),
  'compares with LIKE': (wanted, all) =>
    /^[\w%-]+$/.test(wanted)
      ? all.find(({ tenant }) =>
          new RegExp(`^${wanted.replaceAll('%', '.*').replaceAll('_', '.')}$`).test(tenant.id),
        )
      : undefined,
  'takes hex alone': (wanted, all) =>
    all.find(({ tenant }) => hexOf(tenant.id) === hexOf(wanted.toLowerCase())),
  'takes slugs': (wanted, all) =>
    all.find(({ tenant }) => [tenant.id, tenant.slug].includes(wanted)),
  'takes databases': (wanted, all) =>
    all.find(({ tenant }) => [tenant.id, tenant.database].includes(wanted)),
  'decodes percents': (wanted, all) => byId(all, wanted.replaceAll('%2d', '-')),
  'reads letters of any width': (wanted, all) =>
    byId(all, Buffer.from(wanted, 'latin1').toString().normalize('NFKC')),
  'takes nothing for the first': (wanted, all) => (wanted ? byId(all, wanted) : all[0]),
  'goes back to the first': (wanted, all) => byId(all, wanted) ?? all[0],
}

const byId = (memberships: readonly Membership[], id: string | undefined) =>
  memberships.find(({ tenant }) => tenant.id === id)
const hexOf = (text: string): string => text.replaceAll(/[^0-9a-f]/g, '')

type Answer = { readonly status: number; readonly headers: Headers; readonly text: string }

const listOver = (http: RawHttp, token: string, headers: readonly string[], path = PRODUCTS) =>
  http.send({ method: 'GET', path, headers: ['Authorization', `Bearer ${token}`, ...headers] })

const test = house.extend('grounds', { scope: 'file' }, async ({ ctx }) => {
  const [a, b, foreign, suspended] = [
    await openSite(ctx),
    await openSite(ctx),
    await openSite(ctx),
    await openSite(ctx),
  ]
  const sites = [a, b, foreign, suspended]
  // the product's code is the canary
  for (const { scope, slug } of sites) await createProduct(scope, { code: slug, name: 'P' })
  await suspendTenant(ctx, { slug: suspended.slug })
  const [both, single] = [await makePerson(ctx), await makePerson(ctx)]
  await addMember(ctx, { id: a.id }, { user: both.email, role: 'owner' })
  await addMember(ctx, { id: b.id }, { user: both.email, role: 'viewer' })
  await addMember(ctx, { id: a.id }, { user: single.email, role: 'owner' })
  const names: Names = {
    id: a.id,
    slug: a.slug,
    database: a.scope.tenant.database,
    other: b.id,
    otherSlug: b.slug,
    foreign: foreign.id,
    foreignSlug: foreign.slug,
    suspended: suspended.id,
    userId: both.id,
  }
  return { a, b, foreign, suspended, sites, both, single, names }
})

/** Whose products an answer shows; nobody's where it is a refusal. */
function shownIn({ status, text }: Answer, sites: readonly Site[]): string | undefined {
  const shown = sites.filter(({ slug }) => text.includes(`"code":"${slug}"`))
  expect(shown.length).toBe(status === 200 ? 1 : 0)
  return shown[0]?.id
}

/** A refusal of the header says so, and tells nothing of anybody's. */
function assertRefusal(sent: string, { status, headers, text }: Answer, sites: readonly Site[]) {
  const said = refusalOf(status, headers, text)
  expect([sent, said]).toEqual([
    sent,
    UUID.test(arriving(sent)) ? '404 TENANT.NOT_FOUND' : '422 VALIDATION.FAILED',
  ])
  if (status === 422) expect(text).toContain('"details":{"X-Tenant-ID":[')
  for (const { id, slug } of sites) {
    expect(text).not.toContain(slug)
    expect(text).not.toContain(id)
  }
}

describe('X-Tenant-ID', () => {
  test('has spellings enough, and few of them name a tenant of the user', ({ grounds }) => {
    const spellings = spelled(SPELLINGS, grounds.names)
    const own = [grounds.a.id, grounds.b.id]

    expect(new Set(spellings.map(({ sent }) => sent)).size).toBeGreaterThan(120)
    expect(spellings.filter(({ sent }) => own.includes(nameIn(sent)))).toHaveLength(7)
  })

  test('names a tenant of the user by its UUID in either case, over a socket, or none', async ({
    app,
    grounds: { a, b, sites, both, names },
  }) => {
    await using http = await openRawHttp(app)
    const own = [a.id, b.id]
    const found = await misreadings(spelled(SPELLINGS, names), own, async (sent) => {
      const answer = await listOver(http, both.token, ['X-Tenant-ID', sent])
      if (answer.status !== 200) assertRefusal(sent, answer, sites)
      return shownIn(answer, sites)
    })

    expect(found).toEqual([])
  })

  test('names it also for a user of one tenant, who need not send it: no spelling is passed over', async ({
    app,
    grounds: { a, sites, single, names },
  }) => {
    await using http = await openRawHttp(app)
    const absent = await listOver(http, single.token, [])
    const found = await misreadings(spelled(SPELLINGS, names), [a.id], async (sent) => {
      const answer = await listOver(http, single.token, ['X-Tenant-ID', sent])
      if (answer.status !== 200) assertRefusal(sent, answer, sites)
      return shownIn(answer, sites)
    })

    expect(shownIn(absent, sites)).toBe(a.id)
    expect(found).toEqual([])
  })

  test('is read alike without a socket', async ({ app, grounds: { a, b, sites, both, names } }) => {
    const own = [a.id, b.id]
    const found = await misreadings(spelled(SPELLINGS, names), own, async (sent) => {
      const response = await app.request(PRODUCTS, {
        headers: { Authorization: `Bearer ${both.token}`, 'X-Tenant-ID': sent },
      })
      const { status, headers } = response
      return shownIn({ status, headers, text: await response.text() }, sites)
    })

    expect(found).toEqual([])
  })

  test('that is no header value at all never reaches a tenant', async ({
    app,
    grounds: { sites, both, names },
  }) => {
    await using http = await openRawHttp(app)
    const answers = []
    for (const { what, sent } of spelled(BROKEN, names)) {
      const answer = await listOver(http, both.token, ['X-Tenant-ID', sent])
      answers.push([what, answer.status, shownIn(answer, sites)])
    }

    expect(answers).toEqual(
      Object.keys(BROKEN).map((what) => [what, what.startsWith('more') ? 431 : 400, undefined]),
    )
  })

  test('is refused twice, also with the same value, and neither is read', async ({
    app,
    grounds: { a, b, foreign, both },
  }) => {
    await using http = await openRawHttp(app)
    const twice = [
      ['X-Tenant-ID', a.id, 'X-Tenant-ID', a.id],
      ['X-Tenant-ID', a.id, 'X-Tenant-ID', b.id],
      ['X-Tenant-ID', b.id, 'x-tenant-id', a.id],
      ['X-TENANT-ID', a.id, 'Accept', '*/*', 'X-Tenant-Id', foreign.id],
      ['X-Tenant-ID', '', 'X-Tenant-ID', a.id],
      ['X-Tenant-ID', a.id, 'X-Tenant-ID', ''],
      // the value brings the second one along
      ['X-Tenant-ID', `${a.id}\r\nX-Tenant-ID: ${b.id}`],
    ]
    const answers = []
    for (const headers of twice) {
      for (const token of [both.token, 'none']) {
        const answer = await listOver(http, token, headers)
        answers.push(refusalOf(answer.status, answer.headers, answer.text))
        expect(answer.text).toContain('x-tenant-id')
      }
    }

    expect(answers).toEqual(twice.flatMap(() => Array(2).fill('400 REQUEST.DUPLICATE_HEADER')))
  })

  test('is the one thing that chooses: no other header, cookie or query does', async ({
    app,
    grounds: { a, b, sites, both },
  }) => {
    await using http = await openRawHttp(app)
    const answers = []
    for (const header of [
      'X-Tenant',
      'Tenant-ID',
      'Tenant',
      'X-TenantID',
      'X_Tenant_ID',
      'X-Tenant-ID-2',
      'X-Tenant-Slug',
      'X-Forwarded-Tenant-ID',
      'X-Original-Tenant-ID',
      'X-HTTP-X-Tenant-ID',
    ]) {
      const alone = await listOver(http, both.token, [header, b.id])
      const beside = await listOver(http, both.token, ['X-Tenant-ID', a.id, header, b.id])
      answers.push([header, alone.status, shownIn(alone, sites), shownIn(beside, sites)])
    }
    const cookie = ['Cookie', `X-Tenant-ID=${b.id}; tenant_id=${b.id}`]
    const alone = await listOver(http, both.token, cookie)
    const beside = await listOver(http, both.token, ['X-Tenant-ID', a.id, ...cookie])
    answers.push(['Cookie', alone.status, shownIn(alone, sites), shownIn(beside, sites)])
    const queries = []
    for (const name of ['X-Tenant-ID', 'tenant_id', 'tenant']) {
      for (const headers of [[], ['X-Tenant-ID', a.id]]) {
        const path = `${PRODUCTS}?${name}=${b.id}`
        const answer = await listOver(http, both.token, headers, path)
        queries.push([answer.status, shownIn(answer, sites)])
      }
    }

    expect(answers).toEqual(answers.map(([header]) => [header, 422, undefined, a.id]))
    expect(queries).toEqual(queries.map(() => [422, undefined]))
  })
})

/** All that a caller sees of a refusal, but for the name of the request. */
async function lookOf(ctx: Context, work: () => Promise<{ text: string; headers: Headers }>) {
  const statements: string[] = []
  // when tokens were last used is written behind, whatever is asked
  const note = ({ sql }: { sql: string }) => {
    if (!sql.startsWith('update personal_access_tokens')) statements.push(sql)
  }
  ctx.platform.on('query', note)
  try {
    const { text, headers } = await work()
    const id = headers.get('X-Request-ID') ?? ''
    return {
      body: text.replace(id, '<id>'),
      headers: [...headers].map(([name, value]) => `${name}: ${value.replace(id, '<id>')}`),
      statements,
    }
  } finally {
    ctx.platform.off('query', note)
  }
}

describe('a tenant of others', () => {
  test('looks like one that does not exist, on every route, and costs the same statements', async ({
    ctx,
    app,
    grounds: { a, foreign, suspended, both, single },
  }) => {
    for (const route of tenantRoutes) {
      const wish = await route.prepare(a)
      for (const { token } of [both, single]) {
        const look = (tenantId: string) =>
          lookOf(ctx, async () => {
            const headers = { Authorization: `Bearer ${token}`, 'X-Tenant-ID': tenantId }
            const { said, ...seen } = await send(app, route.method, wish, headers)
            expect(`${route.name}: ${said}`).toBe(`${route.name}: 404 TENANT.NOT_FOUND`)
            return seen
          })
        const unknown = await look(newId())

        expect(unknown.statements).toHaveLength(1)
        expect(await look(foreign.id)).toEqual(unknown)
        expect(await look(suspended.id)).toEqual(unknown)
        expect(await look(crypto.randomUUID())).toEqual(unknown)
      }
    }
  })

  test('looks so however often it is asked for, in turn with one that does not exist', async ({
    ctx,
    app,
    grounds: { foreign, both },
  }) => {
    const look = (tenantId: string) =>
      lookOf(ctx, () =>
        send(
          app,
          'GET',
          { path: PRODUCTS },
          { Authorization: `Bearer ${both.token}`, 'X-Tenant-ID': tenantId },
        ),
      )
    const first = await look(newId())
    for (let pair = 0; pair < 300; pair += 1) {
      expect(await look(foreign.id)).toEqual(first)
      expect(await look(newId())).toEqual(first)
    }
  })
})

describe('a chooser', () => {
  /** As the middleware calls it: with what node made of the bytes. */
  const strictly = (sent: string, memberships: readonly Membership[]): string | undefined => {
    try {
      return chooseTenant(memberships, arriving(sent)).tenant.id
    } catch {
      return undefined
    }
  }

  test('that is strict misreads no spelling', async ({ ctx, grounds: { a, b, both, names } }) => {
    const memberships = await listMemberships(ctx.platform, both.id)
    const spellings = [...spelled(SPELLINGS, names), ...spelled(BROKEN, names)]

    expect(
      await misreadings(spellings, [a.id, b.id], (sent) => strictly(sent, memberships)),
    ).toEqual([])
  })

  test.for(Object.entries(LENIENT))(
    'that %s is found out',
    async ([, choose], { ctx, grounds: { a, b, both, names } }) => {
      const memberships = await listMemberships(ctx.platform, both.id)
      const found = await misreadings(
        spelled(SPELLINGS, names),
        [a.id, b.id],
        (sent) => choose(arriving(sent), memberships)?.tenant.id,
      )

      // some spelling leads to a tenant that it does not name
      expect(found.filter((each) => !each.endsWith('undefined'))).not.toEqual([])
    },
  )
})
