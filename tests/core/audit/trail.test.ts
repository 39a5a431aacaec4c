import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { makeAnchor } from '../../../src/core/audit/anchor.js'
import { readAuditKey } from '../../../src/core/audit/audit-key.js'
import { followAudit } from '../../../src/core/audit/follow-audit.js'
import { pruneAudit } from '../../../src/core/audit/prune-audit.js'
import { settleTrail, TrailKeeper } from '../../../src/core/audit/trail-keeper.js'
import { type Fault, verifyAudit } from '../../../src/core/audit/verify-audit.js'
import type { Context } from '../../../src/core/context.js'
import { quoteName } from '../../../src/core/db/sql.js'
import { affectedBy, rowsOf } from '../../../src/core/db/statements.js'
import { inTransaction } from '../../../src/core/db/transaction.js'
import { recordAudit } from '../../../src/core/events/audit-store.js'
import { recordEvent } from '../../../src/core/events/outbox-store.js'
import { newId } from '../../../src/core/ids.js'
import { enterTenant, type TenantScope } from '../../../src/core/tenants/scope.js'
import { seed } from '../../support/campaign.js'
import { freshSlug, test as house, provision } from '../../support/house.js'
import { open } from '../../support/platform.js'
import { createRandom } from '../../support/random.js'

const test = house.extend('trail', { scope: 'file' }, async ({ ctx }) => {
  const slug = freshSlug()
  await provision(ctx, slug)
  const scope = await enterTenant(ctx, slug)
  for (let index = 0; index < 120; index += 1) await write(scope, `row-${index}`)
  await settleTrail(ctx, [scope.tenant])
  const key = await readAuditKey(ctx)
  const { head } = await verifyAudit(ctx, key)
  return { key, head: head?.sequence ?? 0 }
})

/** One event of a tenant, in a transaction that may take its time, and may be rolled back. */
async function write(
  scope: TenantScope,
  objectId: string,
  { holdMs = 0, fails = false } = {},
): Promise<void> {
  await scope.transaction(async (transaction) => {
    await recordEvent(transaction, scope, {
      at: scope.now(),
      action: 'product.created',
      objectType: 'product',
      objectId,
      changes: { after: { name: objectId, nested: { b: 1, a: [2.5, null, 'ü'] } } },
    })
    if (holdMs > 0) await sleep(holdMs)
    if (fails) throw new Error('rolled back on purpose')
  })
}

const sealedOf = (ctx: Context) =>
  rowsOf<{ sequence: number | string; object_id: string; event_id: string }>(
    ctx.platform,
    'select sequence, object_id, event_id from audit_logs where sequence is not null order by sequence',
  )

describe('the trail', () => {
  test('loses nothing, doubles nothing and keeps the order, whoever writes, relays and seals', {
    timeout: 300_000,
  }, async ({ environment, ctx }) => {
    const random = createRandom(seed)
    const slugs = [freshSlug(), freshSlug(), freshSlug()]
    for (const slug of slugs) await provision(ctx, slug)
    const contexts = await Promise.all([1, 2, 3].map(() => open(environment)))
    const keepers = contexts.slice(0, 2).map((each) => new TrailKeeper(each))
    const stop = new AbortController()
    const followed: string[] = []
    const following = (async () => {
      const tail = { fromSequence: 0, last: 0, follow: true, action: 'product.created' }
      for await (const { records } of followAudit(ctx, tail, stop.signal, () => {}))
        followed.push(...records.map(({ objectId }) => objectId))
    })()
    /** What the naive way sees: rows with an id above the highest that it has seen. */
    const naive = new Set<string>()
    const watching = (async () => {
      let last = 0
      while (!stop.signal.aborted) {
        const rows = await rowsOf<{ id: number; object_id: string }>(
          ctx.platform,
          'select id, object_id from audit_logs where id > ? order by id',
          [last],
        )
        for (const { id, object_id } of rows) {
          naive.add(object_id)
          last = Math.max(last, Number(id))
        }
        await sleep(2)
      }
    })()
    // begun and committed, by the clock of this process: what was over before another began comes before it
    const written = new Map<
      string,
      { readonly place: string; readonly begun: number; readonly over: number }
    >()
    const writers = Array.from({ length: 16 }, async (_, writer) => {
      const own = contexts[writer % 3] as Context
      const scope = await enterTenant(own, slugs[writer % slugs.length] ?? '')
      for (let index = 0; index < 60; index += 1) {
        const id = `w${writer}-${index}`
        const fails = random.below(12) === 0
        const holdMs = random.below(4) === 0 ? random.below(25) : 0
        const begun = performance.now()
        if (index % 5 === 4) {
          // a change of the platform, whose row the trail gets in its own transaction
          await inTransaction(own.platform, async (transaction) => {
            await recordAudit(transaction, own, null, {
              at: own.now(),
              action: 'product.created',
              objectType: 'product',
              objectId: id,
            })
            await sleep(holdMs)
          })
        } else {
          const done = await write(scope, id, { holdMs, fails }).then(
            () => true,
            () => false,
          )
          if (!done) continue
        }
        const place = index % 5 === 4 ? 'platform' : scope.tenant.slug
        written.set(id, { place, begun, over: performance.now() })
        keepers[writer % 2]?.touch(scope.tenant)
      }
    })
    await Promise.all(writers)
    await expect.poll(() => followed.length).toBeGreaterThanOrEqual(written.size)
    stop.abort()
    await Promise.all([following, watching])
    for (const keeper of keepers) await keeper[Symbol.asyncDispose]()
    for (const each of contexts) await each[Symbol.asyncDispose]()

    const said = `VALIDONX_TEST_SEED=${seed}`
    expect([...followed].sort(), said).toEqual([...written.keys()].sort())
    const sealed = await sealedOf(ctx)
    expect(sealed.map(({ sequence }) => Number(sequence))).toEqual(
      sealed.map((_, index) => index + 1),
    )
    // of one database, nobody later in the trail was over before this one began
    const disordered = followed.filter((id, index) => {
      const own = written.get(id)
      return followed.slice(index + 1).some((later) => {
        const other = written.get(later)
        return own && other && other.place === own.place && other.over < own.begun
      })
    })
    expect(disordered, said).toEqual([])
    // a tail by id would have lost some
    expect([...written.keys()].filter((id) => !naive.has(id)).length, said).toBeGreaterThan(0)
    const key = await readAuditKey(ctx)
    expect((await verifyAudit(ctx, key)).fault).toBeUndefined()
  })
})

describe('a trail that was tampered with', () => {
  test('is found out, at the first row that is wrong: 200 edits, deletions, swaps, insertions and cuts', {
    timeout: 300_000,
  }, async ({ ctx, provisioner, environment, trail }) => {
    const random = createRandom(seed)
    const table = `${quoteName(environment.VALIDONX_PLATFORM_DATABASE ?? '')}.audit_logs`
    const anchor = await makeAnchor(ctx, trail.key)
    const fields = [
      ['actor_name', "concat(actor_name, 'x')"],
      ['action', "'license.created'"],
      ['object_id', 'reverse(object_id)'],
      ['occurred_at', 'occurred_at + interval 1 microsecond'],
      ['tenant_id', 'if(tenant_id is null, event_id, null)'],
      ['changes', `'{"after":{"name":"nobody"}}'`],
      ['outcome', "'failure'"],
      ['request_id', "'forged'"],
      ['address', "'192.0.2.1'"],
      ['hash', "unhex(repeat('ab', 32))"],
      ['previous_hash', "unhex(repeat('cd', 32))"],
      ['schema_version', 'schema_version + 1'],
    ] as const
    const kinds = ['edit', 'delete', 'swap', 'insert', 'cut'] as const
    const missed: string[] = []
    await provisioner.run(`create table ${table}_kept as select * from ${table}`)
    const restore = async () => {
      await provisioner.run(`delete from ${table}`)
      await provisioner.run(`insert into ${table} select * from ${table}_kept`)
    }
    for (let trial = 0; trial < 200; trial += 1) {
      const kind = kinds[trial % kinds.length] as (typeof kinds)[number]
      const at = 2 + random.below(trail.head - 3)
      let expected = at
      if (kind === 'edit') {
        const [field, value] = random.pick(fields)
        await provisioner.run(`update ${table} set ${field} = ${value} where sequence = ?`, [at])
      } else if (kind === 'delete') {
        await provisioner.run(`delete from ${table} where sequence = ?`, [at])
      } else if (kind === 'swap') {
        const other = at === trail.head - 1 ? at - 1 : at + 1
        expected = Math.min(at, other)
        await provisioner.run(`update ${table} set sequence = 1000000 where sequence = ?`, [at])
        await provisioner.run(`update ${table} set sequence = ? where sequence = ?`, [at, other])
        await provisioner.run(`update ${table} set sequence = ? where sequence = 1000000`, [other])
      } else if (kind === 'insert') {
        // with what anybody can read: everything but the key
        await provisioner.run(
          `update ${table} set sequence = sequence + 1 where sequence > ? order by sequence desc`,
          [at],
        )
        await provisioner.run(
          `insert into ${table} (event_id, occurred_at, actor_type, actor_id, actor_name, action, object_type, object_id, outcome, schema_version, sequence, previous_hash, hash)
            select ?, occurred_at, actor_type, actor_id, actor_name, action, object_type, object_id, outcome, schema_version, sequence + 1, hash, sha2(hash, 256)
            from ${table} where sequence = ?`.replace('sha2(hash, 256)', 'unhex(sha2(hash, 256))'),
          [newId(), at],
        )
        expected = at + 1
      } else {
        await provisioner.run(`delete from ${table} where sequence >= ?`, [at])
      }
      const { fault } = await verifyAudit(ctx, trail.key, { anchor })
      if (fault?.sequence !== expected) missed.push(`${kind} at ${at}: ${describeFault(fault)}`)
      await restore()
    }

    expect(missed, `VALIDONX_TEST_SEED=${seed}`).toEqual([])
    expect((await verifyAudit(ctx, trail.key, { anchor })).fault).toBeUndefined()
    await provisioner.run(`drop table ${table}_kept`)
  })

  test('is found out from a time on too, where rows came late, and by the count of a tenant', async ({
    ctx,
    provisioner,
    environment,
    trail,
  }) => {
    const table = `${quoteName(environment.VALIDONX_PLATFORM_DATABASE ?? '')}.audit_logs`
    const since = new Date()
    // told now of what was long ago, between rows of now
    for (const hours of [0, 300, 0, 300, 0]) {
      await recordAudit(ctx.platform, ctx, null, {
        at: new Date(since.getTime() + 1_000 - hours * 3_600_000),
        action: 'product.created',
        objectType: 'product',
        objectId: 'late',
      })
      await settleTrail(ctx, [])
    }
    const [{ first = 0 } = {}] = await rowsOf<{ first: number }>(
      ctx.platform,
      "select min(sequence) as first from audit_logs where object_id = 'late'",
    )
    const whole = await verifyAudit(ctx, trail.key)
    const recent = await verifyAudit(ctx, trail.key, { since })
    const [owner] = await rowsOf<{ tenant_id: string; own: number }>(
      ctx.platform,
      'select tenant_id, count(*) as own from audit_logs where tenant_id is not null group by tenant_id order by 2 desc limit 1',
    )
    const tenantId = owner?.tenant_id ?? ''
    const own = await verifyAudit(ctx, trail.key, { tenantId })
    const tail: string[] = []
    const shown = followAudit(ctx, { since, follow: false }, new AbortController().signal, () => {})
    for await (const { records } of shown) tail.push(...records.map(({ objectId }) => objectId))
    const faults: (Fault | undefined)[] = []
    await provisioner.run(`create table ${table}_kept as select * from ${table}`)
    for (const spoil of [
      `delete from ${table} where sequence = ${Number(first) + 1}`,
      `update ${table} set tenant_id = null where sequence = ${Number(first) - 1}`,
    ]) {
      await provisioner.run(spoil)
      faults.push((await verifyAudit(ctx, trail.key, { since })).fault)
      faults.push((await verifyAudit(ctx, trail.key, { tenantId })).fault)
      await provisioner.run(`delete from ${table}`)
      await provisioner.run(`insert into ${table} select * from ${table}_kept`)
    }
    await provisioner.run(`drop table ${table}_kept`)

    expect(whole.fault).toBeUndefined()
    expect(recent).toMatchObject({ intact: true, from: Number(first), verified: 5 })
    expect(own).toMatchObject({ intact: true, verified: Number(owner?.own) })
    expect(tail).toEqual(['late', 'late', 'late'])
    expect(faults).toMatchObject([
      { sequence: Number(first) + 1, what: 'missing' },
      { sequence: Number(first) + 1, what: 'missing' },
      // what happened before that time is not looked at
      undefined,
      { sequence: Number(first) - 1, what: 'changed' },
    ])
  })

  test('stays verifiable when its beginning is pruned, and only then', async ({
    ctx,
    provisioner,
    environment,
    trail,
  }) => {
    const database = quoteName(environment.VALIDONX_PLATFORM_DATABASE ?? '')
    const anchor = await makeAnchor(ctx, trail.key)
    await provisioner.run(
      `update ${database}.audit_logs set occurred_at = occurred_at where sequence = 40`,
    )
    const [row] = await rowsOf<{ occurred_at: Date }>(
      ctx.platform,
      'select occurred_at from audit_logs where sequence = 60',
    )
    const { upTo, removed } = await pruneAudit(ctx, trail.key, row?.occurred_at ?? new Date(0))
    const pruned = await verifyAudit(ctx, trail.key, { anchor })
    await provisioner.run(`update ${database}.audit_checkpoints set removed = removed + 1`)
    const forged = await verifyAudit(ctx, trail.key)
    await provisioner.run(`update ${database}.audit_checkpoints set removed = removed - 1`)
    const runtime = await affectedBy(
      ctx.platform,
      'delete from audit_logs where sequence = 100',
    ).then(
      () => 'deleted',
      () => 'refused',
    )

    expect(removed).toBe(upTo)
    expect(upTo).toBeGreaterThan(0)
    expect(pruned).toMatchObject({ intact: true, from: upTo + 1 })
    expect(forged.fault?.what).toBe('checkpoint')
    expect(runtime).toBe('refused')
  })
})

const describeFault = (fault: Fault | undefined): string =>
  fault ? `${fault.what} at ${fault.sequence}: ${fault.why}` : 'nothing found'

// last: it leaves tenants behind whose outbox nobody can read
test('tenants that fail keep no events of the others from the trail', async ({
  ctx,
  provisioner,
}) => {
  const away = newId()
  const platform = await ctx.provisioner()
  // the runtime login may not add servers: the row is the provisioner's to write
  await platform.run(
    `insert into ${quoteName(ctx.config.platformDatabase)}.database_servers (id, name, host, port, capacity, accepts_tenants, version, created_at, updated_at) values (?, ?, '127.0.0.1', 1, 10, 0, '', now(), now())`,
    [away, `away-${away.slice(-6)}`],
  )
  const scopes = []
  for (const slug of Array.from({ length: 6 }, freshSlug)) {
    await provision(ctx, slug)
    scopes.push(await enterTenant(ctx, slug))
  }
  const [healthy, ...failing] = scopes.map(({ tenant }) => tenant)
  if (!healthy) throw new Error('no tenant')
  for (const scope of scopes) await write(scope, `of-${scope.tenant.slug}`)
  // more failures than workers: lost tables, and a server that is away
  for (const { database } of failing.slice(0, 4))
    await provisioner.run(`drop table ${quoteName(database)}.outbox`)
  await using keeper = new TrailKeeper(ctx)
  keeper.touch(healthy)
  for (const [index, tenant] of failing.entries())
    keeper.touch(index < 4 ? tenant : { ...tenant, id: newId(), serverId: away })
  await keeper.relay().catch(() => {})

  expect(
    await rowsOf(ctx.platform, 'select object_id from audit_logs where object_id = ?', [
      `of-${healthy.slug}`,
    ]),
  ).toHaveLength(1)
})
