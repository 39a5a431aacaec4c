import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { describe, expect } from 'vitest'
import type { Context } from '../../../src/core/context.js'
import { addMember } from '../../../src/core/identity/change-members.js'
import { createToken } from '../../../src/core/identity/create-token.js'
import {
  hasAbility,
  hashTokenSecret,
  isSameTokenHash,
  isTokenAlive,
  mintTokenSecret,
  readAbilities,
  readBearer,
} from '../../../src/core/identity/token.js'
import { getTenant } from '../../../src/core/tenants/tenant-store.js'
import { createApp } from '../../../src/server/app.js'
import { test as house } from '../../support/house.js'
import { makePerson } from '../../support/member.js'
import { type Environment, open } from '../../support/platform.js'
import { fromElsewhere } from '../../support/shop.js'
import { ROOT } from '../../support/source-files.js'

const PROGRAM = join(ROOT, 'tests/vectors/sanctum.php')

/** All times in seconds from now. */
type Row = {
  readonly tokenable_type: string
  readonly holder: string
  readonly name: string
  readonly token: string
  readonly abilities: string | null
  readonly expires_at: number | null
  readonly created_at: number | null
}

type Result = {
  readonly authenticates: boolean
  /** Which of the rows it is. */
  readonly row: number | null
  readonly as: 'user' | 'admin' | null
  readonly opens_tenant: boolean
}

type Vector = Result & {
  readonly name: string
  readonly ours: boolean
  readonly header: string
  readonly expiration: number | null
  readonly rows: readonly Row[]
}

type Document = {
  readonly vectors: readonly Vector[]
  readonly writing: readonly {
    readonly random: string
    readonly crc32b: string
    readonly secret: string
    readonly sha256: string
  }[]
}

const { vectors, writing } = JSON.parse(
  await readFile(join(ROOT, 'tests/vectors/sanctum.json'), 'utf8'),
) as Document

const REFUSED: Result = { authenticates: false, row: null, as: null, opens_tenant: false }
const SHUT: Result = { authenticates: true, row: 0, as: 'user', opens_tenant: false }
const OPEN: Result = { authenticates: true, row: 0, as: 'user', opens_tenant: true }

/** Where we answer otherwise than Laravel, all in rows and headers that no client of Laravel makes. */
const DIFFERENCES: Readonly<Record<string, Result>> = {
  // Laravel takes the last "Bearer " wherever it stands, as far as the next comma
  'a header with the scheme twice': REFUSED,
  'a header with another scheme before it': REFUSED,
  'a header with letters before the scheme': REFUSED,
  'a header with a comma after the token': REFUSED,
  // to PHP's in_array, true equals '*'
  'abilities [true]': SHUT,
  'abilities {"tenant":true}': SHUT,
}

const resultOf = ({ authenticates, row, as, opens_tenant }: Vector): Result => ({
  authenticates,
  row,
  as,
  opens_tenant,
})

const expected = Object.fromEntries(
  vectors.map((vector) => [vector.name, DIFFERENCES[vector.name] ?? resultOf(vector)]),
)

const fill = (header: string, [id, other]: readonly (number | string)[]): string =>
  header.replaceAll('{id}', String(id)).replaceAll('{other_id}', String(other))

const NOW = new Date(Math.floor(Date.now() / 1000) * 1000)
const at = (seconds: number | null): Date | null =>
  seconds === null ? null : new Date(NOW.getTime() + seconds * 1000)

/** The app with its clock stopped, and with so many minutes configured. */
async function serve(environment: Environment, expiration: number | null) {
  const ctx = await open(
    expiration === null
      ? environment
      : { ...environment, VALIDONX_TOKEN_EXPIRATION: String(expiration) },
    { now: () => NOW },
  )
  const app = createApp(ctx, async () => ({ ready: true }))
  return {
    get: async (path: string, Authorization: string) =>
      app.request(path, { headers: { Authorization } }, fromElsewhere()),
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]()
      await ctx[Symbol.asyncDispose]()
    },
  }
}

/** People of all kinds, by the names that the vectors have for them; all users belong to the tenant. */
async function makeHolders(ctx: Context, slug: string): Promise<ReadonlyMap<string, string>> {
  const tenant = await getTenant(ctx.platform, slug)
  const user = async (change: object = {}) => {
    const { id, email } = await makePerson(ctx)
    await addMember(ctx, tenant, { user: email, role: 'admin' })
    if (Object.keys(change).length > 0) await ctx.platform('users').where({ id }).update(change)
    return id
  }
  const admin = async (id: string, change: object = {}) => {
    const email = `admin${id}@example.com`
    await ctx.platform('admins').insert({ id, name: 'A', email, ...change })
    return id
  }
  return new Map([
    ['user', await user()],
    ['admin', await admin('1000001')],
    ['user and admin', await admin(await user())],
    ['deleted user', await user({ deleted_at: NOW })],
    ['deleted admin', await admin('1000002', { deleted_at: NOW })],
    ['disabled user', await user({ disabled_at: NOW })],
    ['disabled admin', await admin('1000003', { disabled_at: NOW })],
    ['missing user', '2000000'],
  ])
}

type MeAnswer = {
  readonly data?: {
    readonly type: string
    readonly user: { readonly id: string }
    readonly token: { readonly id: string }
  }
}

const test = house.extend('ask', async ({ ctx, environment, tenant }, { onCleanup }) => {
  const holders = await makeHolders(ctx, tenant.slug)
  const minutes = [...new Set(vectors.map(({ expiration }) => expiration))]
  const servers = new Map(
    await Promise.all(minutes.map(async (each) => [each, await serve(environment, each)] as const)),
  )
  onCleanup(async () => {
    for (const server of servers.values()) await server[Symbol.asyncDispose]()
  })
  const table = ctx.platform('personal_access_tokens')

  /** Writes the rows of a vector, sends its header, and answers what came of it. */
  return async ({ rows, header, expiration }: Vector) => {
    await table.clone().delete()
    const ids: number[] = []
    for (const { holder, ...row } of rows) {
      const [id = 0] = await table.clone().insert({
        ...row,
        tokenable_id: holders.get(holder),
        expires_at: at(row.expires_at),
        created_at: at(row.created_at),
      })
      ids.push(id)
    }
    const authorization = fill(header, ids)
    const server = servers.get(expiration)
    if (!server) throw new Error(`nothing serves ${expiration} minutes`)
    const me = await server.get('/v1/auth/me', authorization)
    const products = await server.get('/v1/tenant/products', authorization)
    const { data } = (await me.json()) as MeAnswer
    const row = data ? ids.indexOf(Number(data.token.id)) : null
    return {
      statuses: [me.status, products.status],
      row,
      as: data?.type ?? null,
      isHolder: data?.user.id === holders.get(rows[row ?? -1]?.holder ?? ''),
    }
  }
})

describe('the tokens of Laravel', () => {
  test('open here what they open there', async ({ ask }) => {
    const answered = []
    for (const vector of vectors) answered.push([vector.name, await ask(vector)] as const)

    expect(vectors.length).toBeGreaterThanOrEqual(30)
    expect(Object.fromEntries(answered)).toEqual(
      Object.fromEntries(
        Object.entries(expected).map(([name, { authenticates, row, as, opens_tenant }]) => [
          name,
          {
            statuses: authenticates ? [200, opens_tenant ? 200 : 403] : [401, 401],
            row,
            as,
            isHolder: true,
          },
        ]),
      ),
    )
  }, 120_000)

  test('have each a name, and are of all kinds', () => {
    const kinds = new Set(vectors.map((vector) => JSON.stringify(resultOf(vector))))

    expect(new Set(vectors.map(({ name }) => name)).size).toBe(vectors.length)
    expect([...kinds].sort()).toEqual(
      [REFUSED, SHUT, OPEN, { ...OPEN, row: 1 }, { ...SHUT, as: 'admin' as const }]
        .map((each) => JSON.stringify(each))
        .sort(),
    )
    for (const [name, result] of Object.entries(DIFFERENCES)) {
      const vector = vectors.find((each) => each.name === name)
      expect(vector && resultOf(vector), name).not.toEqual(result)
      expect(vector, name).toMatchObject({ ours: false })
    }
  })

  test('are what PHP says today', async () => {
    const printed = await promisify(execFile)('php', [PROGRAM]).catch((error) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (!printed) return

    expect(JSON.parse(printed.stdout)).toEqual({ vectors, writing })
  })
})

const checksumOf = (text: string): string => crc32(text).toString(16).padStart(8, '0')
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

describe('a token of ours', () => {
  test('has the checksum and the hash that PHP computes', () => {
    for (const { random, crc32b, secret, sha256: hash } of writing) {
      expect(checksumOf(random)).toBe(crc32b)
      expect(`${random}${crc32b}`).toBe(secret)
      expect(sha256(secret)).toBe(hash)
      expect(hashTokenSecret(secret)).toBe(hash)
    }
    const minted = Array.from({ length: 1000 }, () => mintTokenSecret())

    expect(writing.some(({ crc32b }) => crc32b.startsWith('000'))).toBe(true)
    for (const secret of minted) {
      expect(secret).toMatch(/^[0-9A-Za-z]{40}[0-9a-f]{8}$/)
      expect(checksumOf(secret.slice(0, 40))).toBe(secret.slice(40))
    }
  })

  test('is written as Laravel writes it', async ({ ctx }) => {
    const { id: holder, email } = await makePerson(ctx)
    const expiresAt = new Date(Date.now() + 3_600_000)
    const { plainText } = await createToken(ctx, {
      user: email,
      abilities: ['tenant', 'admin'],
      expires_at: expiresAt.toISOString(),
    })
    const split = plainText.indexOf('|')
    const [id, secret] = [plainText.slice(0, split), plainText.slice(split + 1)]
    const [row] = await ctx.platform('personal_access_tokens').where({ id })

    // what Sanctum's guard asks of it before it looks
    expect(id).toMatch(/^[1-9]\d*$/)
    expect(secret).toMatch(/^[0-9A-Za-z]{40}[0-9a-f]{8}$/)
    expect(checksumOf(secret.slice(0, 40))).toBe(secret.slice(40))
    expect(row).toMatchObject({
      tokenable_type: 'App\\Models\\User',
      tokenable_id: Number(holder),
      name: 'cli',
      token: sha256(secret),
      abilities: '["tenant","admin"]',
      last_used_at: null,
      expires_at: expiresAt,
      created_at: expect.any(Date),
      updated_at: expect.any(Date),
    })
  })
})

/** What a request with a token is decided by, each part to be replaced by a wrong one. */
const OURS = {
  read: readBearer,
  find: (
    table: ReadonlyMap<string, Row>,
    { id, hash }: { id: string | undefined; hash: string },
  ) =>
    id === undefined
      ? [...table.values()].find(({ token }) => token === hash)
      : (table.get(id) as Row | undefined),
  isSame: isSameTokenHash,
  isAlive: isTokenAlive,
  kindOf: (type: string): 'user' | 'admin' | undefined =>
    type === 'App\\Models\\User' ? 'user' : type === 'App\\Models\\Admin' ? 'admin' : undefined,
  isThere: (holder: string, kind: string) =>
    !/deleted|disabled|missing/.test(holder) && holder.includes(kind),
  opens: (abilities: string | null) => hasAbility(readAbilities(abilities), 'tenant'),
}

function judge({ header, expiration, rows }: Vector, rules: typeof OURS): Result {
  const ids = ['41', '42']
  const table = new Map(rows.map((row, index) => [ids[index] ?? '', row]))
  const presented = rules.read(fill(header, ids).trim())
  if (!presented) return REFUSED
  const hash = hashTokenSecret(presented.secret)
  const row = rules.find(table, { id: presented.id, hash })
  if (!row || !rules.isSame(row.token, hash)) return REFUSED
  const [createdAt, expiresAt] = [at(row.created_at) ?? undefined, at(row.expires_at) ?? undefined]
  if (!rules.isAlive({ createdAt, expiresAt }, NOW, expiration ?? undefined)) return REFUSED
  const as = rules.kindOf(row.tokenable_type)
  if (as === undefined || !rules.isThere(row.holder, as)) return REFUSED
  return {
    authenticates: true,
    row: rows.indexOf(row),
    as,
    opens_tenant: as === 'user' && rules.opens(row.abilities),
  }
}

const judged = (rules: typeof OURS): Record<string, Result> =>
  Object.fromEntries(vectors.map((vector) => [vector.name, judge(vector, rules)]))

const textOf = (header: string): string => /^Bearer +(\S+)$/i.exec(header)?.[1] ?? ''
const halves = (text: string, split: number) => ({
  id: text.slice(0, split),
  secret: text.slice(split + 1),
})
/** A reader that is right until it has the id. */
const readingIds = (read: (id: string) => string | undefined) => (header: string) => {
  const text = textOf(header)
  const split = text.indexOf('|')
  const { id, secret } = halves(text, split)
  if (split < 0 || secret === '' || secret === '0') return readBearer(header)
  const number = read(id)
  return number === undefined ? undefined : { id: number, secret }
}
const number = (value: number): string | undefined =>
  Number.isNaN(value) ? undefined : String(value)

const BUGS: Readonly<Record<string, Partial<typeof OURS>>> = {
  'requires the checksum': {
    read: (header) => {
      const presented = readBearer(header)
      const random = presented?.secret.slice(-48, -8) ?? ''
      return presented?.secret.endsWith(checksumOf(random)) ? presented : undefined
    },
  },
  'requires 48 characters': {
    read: (header) => {
      const presented = readBearer(header)
      return presented?.secret.length === 48 ? presented : undefined
    },
  },
  'splits at the last |': {
    read: (header) => {
      const split = textOf(header).lastIndexOf('|')
      const { id, secret } = halves(textOf(header), split)
      if (split < 0) return readBearer(header)
      return /^\d+$/.test(id) && !['', '0'].includes(secret) ? { id, secret } : undefined
    },
  },
  'splits at every |': {
    read: (header) => {
      const presented = readBearer(header)
      return presented && { ...presented, secret: presented.secret.split('|')[0] ?? '' }
    },
  },
  'does not split': {
    read: (header) => (readBearer(header) ? { secret: textOf(header) } : undefined),
  },
  'requires an id': {
    read: (header) => (readBearer(header)?.id === undefined ? undefined : readBearer(header)),
  },
  'looks by the hash alone': {
    find: (table, { hash }) => [...table.values()].find(({ token }) => token === hash),
  },
  'does not compare the hash': { isSame: () => true },
  'compares hashes without case': {
    isSame: (stored, given) => stored.toLowerCase() === given.toLowerCase(),
  },
  'takes the hash for the secret': {
    isSame: (stored, given) => stored === given || hashTokenSecret(stored) === given,
  },
  'reads ids as parseInt does': { read: readingIds((id) => number(Number.parseInt(id, 10))) },
  'reads ids as Number does': { read: readingIds((id) => number(Number(id))) },
  'reads ids as BigInt does': {
    read: readingIds((id) => {
      try {
        return String(BigInt(id))
      } catch {
        return undefined
      }
    }),
  },
  'compares ids as text': { read: readingIds((id) => (/^\d+$/.test(id) ? id : undefined)) },
  'takes an empty secret': {
    read: (header) => readBearer(header) ?? halves(textOf(header), textOf(header).indexOf('|')),
  },
  'takes the secret 0': {
    read: (header) => {
      const { id, secret } = halves(textOf(header), textOf(header).indexOf('|'))
      return secret === '0' ? { ...(id === '' ? {} : { id }), secret } : readBearer(header)
    },
  },
  'takes a 0 before a secret for nothing': {
    read: (header) => {
      const presented = readBearer(header)
      return Number(presented?.secret) === 0 ? undefined : presented
    },
  },
  'requires the scheme in its usual case': {
    read: (header) => (header.startsWith('Bearer ') ? readBearer(header) : undefined),
  },
  'takes any scheme': { read: (header) => readBearer(header.replace(/^\w+ /, 'Bearer ')) },
  'takes everybody for a user': { kindOf: () => 'user' },
  'takes unknown types for users': {
    kindOf: (type) => (type === 'App\\Models\\Admin' ? 'admin' : 'user'),
  },
  'compares types without case': {
    kindOf: (type) => OURS.kindOf(type.replace(/^app.*user$/, 'App\\Models\\User')),
  },
  'compares types as a padded column': { kindOf: (type) => OURS.kindOf(type.trimEnd()) },
  'knows no admins': {
    kindOf: (type) => (type === 'App\\Models\\User' ? 'user' : undefined),
  },
  'forgets that people are deleted': {
    isThere: (holder, kind) => OURS.isThere(holder.replace('deleted ', ''), kind),
  },
  'forgets that people are disabled': {
    isThere: (holder, kind) => OURS.isThere(holder.replace('disabled ', ''), kind),
  },
  'does not look for its holder': { isThere: () => true },
  'lets tokens without abilities do everything': {
    opens: (abilities) => abilities === null || OURS.opens(abilities),
  },
  'lets an empty list do everything': {
    opens: (abilities) => abilities === '[]' || OURS.opens(abilities),
  },
  'does not know *': { opens: (abilities) => readAbilities(abilities).includes('tenant') },
  'does not look at abilities': { opens: () => true },
  'looks for an ability in the text': {
    opens: (abilities) => /tenant|\*/.test(abilities ?? ''),
  },
  'compares abilities without case': {
    opens: (abilities) => OURS.opens(abilities?.toLowerCase() ?? null),
  },
  'takes the keys of an object for abilities': {
    opens: (abilities) => OURS.opens(abilities) || (abilities ?? '').startsWith('{"tenant":"'),
  },
  'takes lists alone': {
    opens: (abilities) => (abilities ?? '').startsWith('[') && OURS.opens(abilities),
  },
  'ends a token at its last instant': {
    isAlive: ({ createdAt, expiresAt }, now, minutes) =>
      isTokenAlive({ createdAt, expiresAt }, now, minutes) && !(expiresAt && expiresAt <= now),
  },
  'forgets expires_at': {
    isAlive: ({ createdAt }, now, minutes) =>
      isTokenAlive({ createdAt, expiresAt: undefined }, now, minutes),
  },
  'forgets the minutes': { isAlive: (token, now) => isTokenAlive(token, now, undefined) },
  'lets expires_at stand for the minutes': {
    isAlive: (token, now, minutes) =>
      isTokenAlive(token, now, token.expiresAt ? undefined : minutes),
  },
  'lets the minutes stand for expires_at': {
    isAlive: ({ createdAt, expiresAt }, now, minutes) =>
      isTokenAlive({ createdAt, expiresAt: minutes ? undefined : expiresAt }, now, minutes),
  },
  'counts the last minute in': {
    isAlive: (token, now, minutes) =>
      isTokenAlive(token, new Date(now.getTime() - (minutes ? 1 : 0)), minutes),
  },
  'takes minutes for seconds': {
    isAlive: (token, now, minutes) => isTokenAlive(token, now, minutes && minutes / 60),
  },
  'lets a token live that was made at no known time': {
    isAlive: ({ createdAt = NOW, expiresAt }, now, minutes) =>
      isTokenAlive({ createdAt, expiresAt }, now, minutes),
  },
}

describe('the vectors', () => {
  test('hold without a database too', () => {
    expect(judged(OURS)).toEqual(expected)
  })

  test.for(Object.entries(BUGS))('see one that %s', ([, bug]) => {
    const results = judged({ ...OURS, ...bug })
    const seen = vectors.filter(
      ({ name }) => JSON.stringify(results[name]) !== JSON.stringify(expected[name]),
    )
    expect(seen).not.toEqual([])
  })
})
