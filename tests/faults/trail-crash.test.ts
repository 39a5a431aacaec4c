import type { Knex } from 'knex'
import { expect } from 'vitest'
import { readAuditKey } from '../../src/core/audit/audit-key.js'
import { settleTrail } from '../../src/core/audit/trail-keeper.js'
import { verifyAudit } from '../../src/core/audit/verify-audit.js'
import { rowsOf } from '../../src/core/db/statements.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { seed, volume } from '../support/campaign.js'
import { CountingProxy, through } from '../support/counting-proxy.js'
import { freshSlug, provision, test } from '../support/house.js'
import { createRandom } from '../support/random.js'
import { startScript } from '../support/real-process.js'

const KILLS = volume(10, 100)
/** Each is killed before it has sent more than so many commands. */
const LONGEST = 300

test(`every committed change has exactly one row of the trail, wherever kill -9 strikes between change, relay and seal (VALIDONX_TEST_SEED=${seed})`, async ({
  ctx,
  environment,
  provisioner,
}) => {
  const random = createRandom(seed)
  const slugs = [freshSlug(), freshSlug(), freshSlug()]
  for (const slug of slugs) await provision(ctx, slug, 'enterprise')
  const countIn = async (db: Knex, table: string, column: string): Promise<number> => {
    const [row] = await rowsOf<{ count: number | string }>(
      db,
      `select count(*) as count from ${table} where ${column} is null`,
    )
    return Number(row?.count)
  }
  // where the kills struck: between a change and its relay, and between a relay and its seal
  let [unrelayed, unsealed] = [0, 0]
  for (let kill = 0; kill < KILLS; kill += 1) {
    await using proxy = await CountingProxy.open(provisioner.reach.address)
    const named = { ...through(proxy, environment), TRAIL_WRITER_SLUGS: slugs.join() }
    await using writer = startScript(named, 'trail-writer.ts')
    await writer.line('ready')
    proxy.interruption = {
      command: proxy.count + 1 + random.below(LONGEST),
      when: random.pick(['before', 'after'] as const),
      act: () => writer.signal('SIGKILL'),
    }
    expect(await writer.ended).toMatchObject({ signal: 'SIGKILL' })
    for (const slug of slugs) {
      const { db } = await enterTenant(ctx, slug)
      if ((await countIn(db, 'outbox', 'relayed_at')) > 0) unrelayed += 1
    }
    if ((await countIn(ctx.platform, 'audit_logs', 'sequence')) > 0) unsealed += 1
  }

  const scopes = await Promise.all(slugs.map((slug) => enterTenant(ctx, slug)))
  await settleTrail(
    ctx,
    scopes.map(({ tenant }) => tenant),
  )
  let changes = 0
  for (const scope of scopes) {
    const made: string[] = await scope.db('products').pluck('id')
    const told: string[] = await ctx
      .platform('audit_logs')
      .where({ tenant_id: scope.tenant.id, action: 'product.created' })
      .whereNotNull('sequence')
      .pluck('object_id')
    changes += made.length
    expect(told.sort()).toEqual(made.sort())
  }
  expect(changes).toBeGreaterThan(KILLS / 2)
  // the kills struck where they were meant to
  expect(Math.min(unrelayed, unsealed)).toBeGreaterThan(0)
  expect((await verifyAudit(ctx, await readAuditKey(ctx))).fault).toBeUndefined()
})
