import { stripVTControlCharacters } from 'node:util'
import { describe, expect } from 'vitest'
import { settleTrail } from '../../src/core/audit/trail-keeper.js'
import type { Context } from '../../src/core/context.js'
import { quoteName } from '../../src/core/db/sql.js'
import { recordAudit } from '../../src/core/events/audit-store.js'
import { suspendLicense } from '../../src/core/licensing/change-license.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { hashPasswordsCheaply } from '../support/cheap-passwords.js'
import { freshSlug, test as house, provision, runCli, type Seat } from '../support/house.js'
import { issueFor } from '../support/license.js'
import { asking, makeMember } from '../support/member.js'
import { freshWord } from '../support/platform.js'
import { startBin, startServers } from '../support/process.js'

hashPasswordsCheaply()

const PATIENCE = { timeout: 300_000 }

type Row = {
  readonly sequence: number
  readonly event_id: string
  readonly tenant_id: string | null
  readonly actor: { readonly type: string; readonly id: string; readonly name: string }
  readonly action: string
  readonly object: { readonly type: string; readonly id: string }
  readonly previous_hash?: string
  readonly hash?: string
}

/** Moves the cursor, sets the title, rings, and ends the line: what a stranger's name may hold. */
const HOSTILE = '\u001b[2J\u001b]0;mine\u0007x\r\ny\u009b31m'

const linesOf = (out: string): string[] => (out === '' ? [] : out.trimEnd().split('\n'))
const rowsIn = (out: string): Row[] => linesOf(out).map((line) => JSON.parse(line) as Row)

const tell = (ctx: Context, objectId: string, at = ctx.now()) =>
  recordAudit(ctx.platform, ctx, null, {
    at,
    action: 'product.created',
    objectType: 'product',
    objectId,
  })

const test = house
  /** A trail with two tenants, licenses that came and went, and a hostile name. */
  .extend('trail', { scope: 'file' }, async ({ ctx }) => {
    const slugs = [freshSlug(), freshSlug()] as const
    const scopes = []
    for (const slug of slugs) {
      await provision(ctx, slug)
      const scope = await enterTenant(ctx, slug)
      for (let count = 0; count < 3; count += 1)
        await suspendLicense(scope, (await issueFor(scope)).license.id)
      scopes.push(scope)
    }
    await settleTrail(
      ctx,
      scopes.map(({ tenant }) => tenant),
    )
    await tell(ctx, HOSTILE)
    await settleTrail(ctx, [])
    const [acme, other] = scopes
    if (!acme || !other) throw new Error('no tenants')
    return { acme: acme.tenant, other: other.tenant }
  })
  .extend('audit', async ({ environment, trail: _ }) => {
    return (argv: readonly string[], input = '', seat: Seat = {}) =>
      runCli({ TERM: 'xterm', ...environment }, ['audit', ...argv], input, seat)
  })
  .extend('table', async ({ environment }) => {
    return `${quoteName(environment.VALIDONX_PLATFORM_DATABASE ?? '')}.audit_logs`
  })

describe('audit tail', () => {
  test('at a terminal shows columns that fit, in colours where they are wanted, and nothing that acts', async ({
    environment,
    audit,
    trail,
  }) => {
    const all = ['-n', '1000']
    const shown = await audit(['tail', ...all], '', { columns: 80 })
    const plain = await runCli({ ...environment, NO_COLOR: '1' }, ['audit', 'tail', ...all], '', {
      columns: 80,
    })
    const wide = await audit(
      ['tail', ...all, '--columns', 'seq,tenant,action,object,changes'],
      '',
      {
        columns: 200,
      },
    )

    const lines = linesOf(shown.out)
    expect(shown.exit).toBe(0)
    expect(stripVTControlCharacters(lines[0] ?? '')).toMatch(/^SEQ +TIME +TENANT +ACTOR +ACTION/)
    expect(lines.filter((line) => stripVTControlCharacters(line).length > 80)).toEqual([])
    const days = lines.filter((line) => /^\d{4}-\d\d-\d\d$/.test(stripVTControlCharacters(line)))
    const rows = rowsIn((await audit(['tail', ...all])).out)
    expect(lines.length).toBe(1 + days.length + rows.length)
    // what is too long ends, or begins, with an ellipsis
    const text = stripVTControlCharacters(shown.out)
    for (const { action, object } of rows.filter(({ object: { id } }) => id !== HOSTILE)) {
      expect(text).toContain(action.length > 23 ? `${action.slice(0, 22)}…` : action)
      expect(text).toContain(object.id.length > 12 ? `…${object.id.slice(-11)}` : object.id)
    }
    expect(shown.out).toContain('\u001b[32m')
    expect(plain.out).toBe(stripVTControlCharacters(plain.out))
    expect(plain.out).toContain(trail.acme.slug)
    const hostile = linesOf(stripVTControlCharacters(wide.out)).filter((line) =>
      line.includes('mine'),
    )
    expect(hostile).toHaveLength(1)
    // colours are ours and stand around the line; what the name holds is shown, not done
    const [raw = ''] = linesOf(wide.out).filter((line) => line.includes('mine'))
    const bare = raw.replace('\u001b[32m', '').replace('\u001b[39m', '')
    expect(bare).not.toMatch(/\p{Cc}/u)
  })

  test('in a pipe and with --json prints one object a line', async ({ audit }) => {
    const piped = await audit(['tail', '-n', '1000'])
    const asked = await audit(['tail', '-n', '1000', '--json'], '', { columns: 80 })

    const rows = rowsIn(piped.out)
    expect(rows.map(({ sequence }) => sequence)).toEqual(rows.map((_, index) => index + 1))
    expect(rows.at(-1)?.object.id).toBe(HOSTILE)
    // --json spells more characters as escapes
    expect(rowsIn(asked.out)).toEqual(rows)
    expect(piped.said).toBe('')
  })

  test('shows what is asked for', async ({ ctx, audit, trail }) => {
    const shown = async (...argv: string[]) => rowsIn((await audit(['tail', ...argv])).out)
    const all = await shown('-n', '1000')
    const only = (isWanted: (row: Row) => boolean) => all.filter(isWanted)
    const last = all.length

    expect(await shown()).toEqual(all.slice(-20))
    expect(await shown('-n', '3')).toEqual(all.slice(-3))
    expect(await shown('-n', '0')).toEqual([])
    expect(await shown('--from-seq', String(last - 2))).toEqual(all.slice(-2))
    expect(await shown('--tenant', trail.acme.slug, '-n', '1000')).toEqual(
      only(({ tenant_id }) => tenant_id === trail.acme.id),
    )
    expect(await shown('--action', 'license.*', '-n', '1000')).toEqual(
      only(({ action }) => action.startsWith('license.')),
    )
    expect(await shown('--action', 'license.created', '--tenant', trail.other.slug)).toHaveLength(3)
    expect(await shown('--actor', 'tester', '-n', '1000')).toEqual(
      only(({ actor }) => actor.name === 'tester'),
    )
    expect(await shown('--actor', 'nobody')).toEqual([])
    // a percent sign is one
    expect(await shown('--action', '%*')).toEqual([])

    expect(await shown('--since', '1h')).toEqual(all)
    expect(await shown('--since', '1h', '-n', '2')).toEqual(all.slice(-2))
    expect(await shown('--since', new Date(Date.now() + 60_000).toISOString())).toEqual([])
    await tell(ctx, 'long ago', new Date(Date.now() - 7_200_000))
    await settleTrail(ctx, [])
    expect(await shown('--since', '1h')).toEqual(all)
    expect((await shown('--since', '3h')).at(-1)?.object.id).toBe('long ago')
  })

  test('names the operator, and for whom they act, as the Tenant API does', async ({
    environment,
    ctx,
    app,
    audit,
    trail,
  }) => {
    const acting = {
      ...environment,
      VALIDONX_OPERATOR: 'ada',
      VALIDONX_ON_BEHALF_OF: 'ticket 4711',
    }
    const { token } = await makeMember(ctx, trail.acme.slug, 'owner')
    await runCli(acting, ['apikey', 'create', '--name', 'n', '--tenant', trail.acme.slug])
    const [row] = rowsIn((await audit(['tail', '--actor', 'ada'])).out).slice(-1)
    const shown = await audit(['tail', '--actor', 'ada', '--columns', 'actor,action'], '', {
      columns: 80,
    })
    const { data } = await asking(app, token)('GET', '/audit?limit=1')

    expect(row).toMatchObject({
      actor: { type: 'operator', id: 'ada', name: 'ada' },
      on_behalf_of: 'ticket 4711',
      action: 'api_key.created',
    })
    expect(stripVTControlCharacters(shown.out)).toContain('ada for ticket 47…')
    expect(data.items).toEqual([
      expect.objectContaining({ action: 'api_key.created', on_behalf_of: 'ticket 4711' }),
    ])
  })

  test(
    'names nobody at a terminal for what a server was asked',
    PATIENCE,
    async ({ environment, ctx, trail: _ }) => {
      const email = `${freshWord()}@example.com`
      const password = 'correct horse battery staple'
      await runCli(
        environment,
        ['user', 'create', email, '--name', 'P', '--password-stdin'],
        `${password}\n`,
      )
      const ends: (() => void)[] = []
      const [server] = await startServers(environment, 1, (end) => ends.push(end), {
        VALIDONX_OPERATOR: 'whoever started it',
        VALIDONX_ON_BEHALF_OF: 'ticket 4712',
      })
      const answer = await fetch(`${server?.url}/v1/auth/login`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ email, password }),
      })
      for (const end of ends) end()
      const told = await ctx
        .platform('audit_logs')
        .where({ action: 'token.created', actor_name: email })
        .select('actor_type', 'on_behalf_of')

      expect(answer.status).toBe(200)
      expect(told).toEqual([{ actor_type: 'user', on_behalf_of: null }])
    },
  )

  test('followed shows what comes, and on Ctrl-C says where to go on: no row is missed or doubled', {
    timeout: 300_000,
  }, async ({ ctx, audit }) => {
    const told = Array.from({ length: 60 }, () => freshWord())
    const seen: string[] = []
    let from: string[] = ['-n', '0']
    for (const part of [told.slice(0, 20), told.slice(20, 40), told.slice(40)]) {
      const stopping = new AbortController()
      const stop = new Promise((done) => stopping.signal.addEventListener('abort', done))
      const watch = (out: string) => {
        for (const row of rowsIn(out)) seen.push(row.object.id)
        if (seen.includes(part[9] ?? '')) stopping.abort()
      }
      const tail = audit(['tail', '-f', '--action', 'product.*', ...from], '', { stop, watch })
      // the first one must know where the end was before anything comes
      await new Promise((done) => setTimeout(done, from[0] === '-n' ? 500 : 0))
      for (const word of part) await tell(ctx, word)
      await settleTrail(ctx, [])
      const { exit, said } = await tail
      expect(exit).toBe(0)
      const [, next = ''] =
        /^Go on with: validonx audit tail -f --from-seq (\d+)$/m.exec(said) ?? []
      from = ['--from-seq', next]
    }
    const rest = await audit(['tail', '--action', 'product.*', ...from])
    seen.push(...rowsIn(rest.out).map(({ object }) => object.id))

    expect(seen).toEqual(told)
  })

  test.for([
    [['--columns', 'seq,nothing'], 64, /"nothing" is not one of .*seq, time/s],
    [['-n', 'many'], 64, /--lines "many"/],
    [['-n', '-1'], 64, /--lines/],
    [['--from-seq', '1e3'], 64, /--from-seq "1e3"/],
    [['--since', 'yesterday'], 65, /VALIDATION\.FAILED/],
    [['--tenant', 'nobody-at-all'], 66, /"nobody-at-all".*TENANT\.NOT_FOUND/s],
  ] as const)('refuses %s by name', async ([argv, exit, says], { audit }) => {
    const refused = await audit(['tail', ...argv], '', { columns: 80 })

    expect([refused.exit, refused.out]).toEqual([exit, ''])
    expect(refused.said).toMatch(says)
    expect(refused.said).not.toMatch(/\n +at /)
  })
})

describe('audit verify', () => {
  test('says what holds, and exits 0', async ({ audit, trail }) => {
    const text = await audit(['verify'])
    const json = await audit(['verify', '--json'])
    const own = await audit(['verify', '--tenant', trail.acme.slug, '--json'])

    expect([text.exit, text.out]).toEqual([
      0,
      expect.stringMatching(/^\d+ rows hold, up to \d+ \(/),
    ])
    const { verified, head } = JSON.parse(json.out)
    expect(JSON.parse(json.out)).toMatchObject({ intact: true, from: 1, unsealed: 0, fault: null })
    expect(verified).toBe(head.sequence)
    expect(JSON.parse(own.out).verified).toBeLessThan(verified)
  })

  test('names the row that was changed, removed or cut off, and exits 1', async ({
    audit,
    provisioner,
    table,
  }) => {
    const anchor = (await audit(['anchor'])).out
    const { sequence: head } = JSON.parse(anchor) as { sequence: number }
    await provisioner.run(`create table ${table}_kept as select * from ${table}`)
    const spoiled = async (sql: string, ...argv: string[]) => {
      await provisioner.run(sql)
      const text = await audit(['verify', ...argv], anchor)
      const json = await audit(['verify', '--json', ...argv], anchor)
      await provisioner.run(`delete from ${table}`)
      await provisioner.run(`insert into ${table} select * from ${table}_kept`)
      return { exit: text.exit, said: `${text.out}${text.said}`, fault: JSON.parse(json.out).fault }
    }
    const changed = await spoiled(`update ${table} set actor_name = 'nobody' where sequence = 7`)
    const missing = await spoiled(`delete from ${table} where sequence = 9`)
    const cut = `delete from ${table} where sequence >= ${head - 1}`
    const unseen = await spoiled(cut)
    const seen = await spoiled(cut, '--anchor', '-')
    await provisioner.run(`drop table ${table}_kept`)

    expect([changed.exit, changed.fault]).toEqual([
      1,
      expect.objectContaining({ sequence: 7, what: 'changed' }),
    ])
    expect(changed.said).toMatch(/row 7 is changed.*AUDIT\.BROKEN/s)
    expect([missing.exit, missing.fault]).toEqual([
      1,
      expect.objectContaining({ sequence: 9, what: 'missing' }),
    ])
    // without an anchor nothing tells that there was more
    expect([unseen.exit, unseen.fault]).toEqual([0, null])
    expect([seen.exit, seen.fault]).toEqual([
      1,
      expect.objectContaining({ sequence: head - 1, what: 'cut off' }),
    ])
    expect((await audit(['verify', '--anchor', '-'], anchor)).exit).toBe(0)
  })

  test('refuses an anchor that is none, was changed or is another platform’s', async ({
    audit,
  }) => {
    const anchor = JSON.parse((await audit(['anchor'])).out) as Record<string, unknown>
    const refusals = []
    for (const spoiled of [
      'nonsense',
      '{}',
      JSON.stringify({ ...anchor, sequence: 1 }),
      JSON.stringify({ ...anchor, platform: 'another' }),
      JSON.stringify({ ...anchor, signature: '0'.repeat(64) }),
    ]) {
      const { exit, out, said } = await audit(['verify', '--anchor', '-'], spoiled)
      refusals.push([exit, out, said.includes('AUDIT.ANCHOR_INVALID')])
    }
    const nowhere = await audit(['verify', '--anchor', '/nonexistent/head.json'])

    expect(refusals).toEqual(refusals.map(() => [65, '', true]))
    expect([nowhere.exit, nowhere.said]).toEqual([
      64,
      expect.stringContaining('/nonexistent/head.json'),
    ])
  })
})

describe('audit export', () => {
  test('prints every row with its hashes, chained, and the signed head last', async ({ audit }) => {
    const { out, said, exit } = await audit(['export'])
    const lines = linesOf(out)
    const { anchor } = JSON.parse(lines.at(-1) ?? '') as { anchor: object }
    const rows = rowsIn(lines.slice(0, -1).join('\n'))

    expect([exit, said]).toEqual([0, ''])
    expect(rows.length).toBeGreaterThan(40)
    expect(rows.map(({ sequence }) => sequence)).toEqual(rows.map((_, index) => index + 1))
    expect(rows.slice(1).map(({ previous_hash }) => previous_hash)).toEqual(
      rows.slice(0, -1).map(({ hash }) => hash),
    )
    expect(anchor).toMatchObject({ sequence: rows.length, hash: rows.at(-1)?.hash })
    expect((await audit(['verify', '--anchor', '-'], JSON.stringify(anchor))).exit).toBe(0)
  })

  test('as CSV is quoted, and no cell is a formula', async ({ ctx, audit, trail }) => {
    const names = ['=1+1', '+SUM(A1)', '-2', '@x', '\tx', 'a,"b"\nc']
    for (const name of names) await tell(ctx, name)
    await settleTrail(ctx, [])
    const { out, said } = await audit(['export', '--format', 'csv'])
    const cells = parseCsv(out)
    const head = cells[0] ?? []
    const column = head.indexOf('object_id')
    const own = await audit(['export', '--format', 'csv', '--tenant', trail.acme.slug])

    expect(new Set(cells.map((row) => row.length))).toEqual(new Set([head.length]))
    expect(cells.slice(-names.length).map((row) => row[column])).toEqual([
      "'=1+1",
      "'+SUM(A1)",
      "'-2",
      "'@x",
      "'\tx",
      'a,"b"\nc',
    ])
    expect(cells.flat().filter((cell) => /^[=+\-@\t\r]/.test(cell))).toEqual([])
    expect(JSON.parse(said)).toMatchObject({ anchor: { signature: expect.any(String) } })
    const tenants = new Set(
      parseCsv(own.out)
        .slice(1)
        .map((row) => row[head.indexOf('tenant_id')]),
    )
    expect(tenants).toEqual(new Set([trail.acme.id]))
    expect((await audit(['export', '--format', 'xml'])).exit).toBe(64)
  })

  test(
    'ends quietly where its reader has left, as head does',
    PATIENCE,
    async ({ environment, trail: _ }) => {
      for (const argv of [
        ['audit', 'export'],
        ['audit', 'tail', '-f'],
        ['plan', 'list'],
      ]) {
        const { child, output, ended } = startBin(environment, argv)
        child.stdout?.destroy()

        expect([await ended, output.said], argv.join(' ')).toEqual([141, ''])
      }
    },
  )

  test('has no secret of anybody in it', async ({ environment, cli, ctx, audit, trail }) => {
    const at = ['--tenant', trail.acme.slug]
    const email = `${freshWord()}@example.com`
    const password = 'a password that nobody may read'
    const named = ['user', 'create', email, '--name', 'P', '--password-stdin']
    await runCli(environment, named, `${password}\n`)
    const token = JSON.parse((await cli('token', 'create', '--user', email, '--json')).out).token
    const key = JSON.parse((await cli('apikey', 'create', ...at, '--name', 'n', '--json')).out)
    await settleTrail(ctx, [trail.acme])
    const { out } = await audit(['export'])

    const secrets = [password, String(token).split('|')[1], String(key.api_key ?? key.secret)]
    expect(secrets.every((secret) => (secret?.length ?? 0) > 20)).toBe(true)
    expect(secrets.filter((secret) => out.includes(secret ?? ''))).toEqual([])
    expect(out).toContain(email)
  })
})

describe('audit prune', () => {
  test('asks, or takes --yes; what is left holds', async ({ audit }) => {
    const rows = rowsIn((await audit(['tail', '-n', '1000'])).out)
    const anchor = (await audit(['anchor'])).out
    const before = (rows[20] as unknown as { occurred_at: string }).occurred_at
    const unasked = await audit(['prune', '--before', before])
    const untimed = await audit(['prune', '--before', 'long ago', '--yes'])
    const pruned = await audit(['prune', '--before', before, '--yes', '--json'])
    const again = await audit(['prune', '--before', before, '--yes'])
    const verified = await audit(['verify', '--anchor', '-', '--json'], anchor)

    expect([unasked.exit, unasked.out]).toEqual([64, ''])
    expect(unasked.said).toMatch(/--yes/)
    expect([untimed.exit, untimed.out]).toEqual([65, ''])
    const { removed, up_to } = JSON.parse(pruned.out)
    expect(removed).toBe(up_to)
    expect(removed).toBeGreaterThan(0)
    expect(again.out).toBe('nothing to remove\n')
    expect(JSON.parse(verified.out)).toMatchObject({ intact: true, from: up_to + 1 })
    const left = rowsIn((await audit(['tail', '-n', '1000'])).out)
    expect(left[0]?.sequence).toBe(up_to + 1)
    expect(left.at(-1)?.action).toBe('audit.pruned')
  })
})

/** RFC 4180. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]]
  for (const [, cell = '', end] of text.matchAll(/("(?:[^"]|"")*"|[^",\n]*)(,|\r?\n|$)/g)) {
    if (cell === '' && end === '') break
    rows.at(-1)?.push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell)
    if (end !== ',') rows.push([])
  }
  return rows.filter((row) => row.length > 0)
}
