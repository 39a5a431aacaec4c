import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { readAuditKey } from '../../src/core/audit/audit-key.js'
import { settleTrail } from '../../src/core/audit/trail-keeper.js'
import { verifyAudit } from '../../src/core/audit/verify-audit.js'
import { rowsOf } from '../../src/core/db/statements.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { atMost } from '../support/at-most.js'
import { freshSlug, provision, test } from '../support/house.js'
import { createRandom, freshSeed } from '../support/random.js'
import { startScript } from '../support/real-process.js'

const KILLS = 100
const AT_ONCE = 3
const LONGEST_MS = 150

const seed = freshSeed()

test('every committed change has exactly one row of the trail, wherever kill -9 strikes between change, relay and seal', {
  timeout: 240_000,
}, async ({ ctx, environment }) => {
  const random = createRandom(seed)
  const slugs = [freshSlug(), freshSlug(), freshSlug()]
  for (const slug of slugs) await provision(ctx, slug, 'enterprise')
  const inTurn = atMost(AT_ONCE)
  // where the kills struck: between a change and its relay, and between a relay and its seal
  let [unrelayed, unsealed] = [0, 0]
  await Promise.all(
    Array.from({ length: KILLS }, (_, index) =>
      inTurn(async () => {
        const slug = slugs[index % slugs.length] ?? ''
        const named = { ...environment, TRAIL_WRITER_SLUG: slug }
        await using writer = startScript(named, 'trail-writer.ts')
        await writer.line('ready')
        await sleep(random.next() * LONGEST_MS)
        writer.signal('SIGKILL')
        await writer.ended
        const scope = await enterTenant(ctx, slug)
        const [left] = await rowsOf<{ count: number | string }>(
          scope.db,
          'select count(*) as count from outbox where relayed_at is null',
        )
        const [open] = await rowsOf<{ count: number | string }>(
          ctx.platform,
          'select count(*) as count from audit_logs where sequence is null',
        )
        unrelayed += Number(left?.count) > 0 ? 1 : 0
        unsealed += Number(open?.count) > 0 ? 1 : 0
      }),
    ),
  )

  const scopes = await Promise.all(slugs.map((slug) => enterTenant(ctx, slug)))
  await settleTrail(
    ctx,
    scopes.map(({ tenant }) => tenant),
  )
  const said = `SEED=${seed}`
  let changes = 0
  for (const scope of scopes) {
    const made: string[] = await scope.db('products').pluck('id')
    const told: string[] = await ctx
      .platform('audit_logs')
      .where({ tenant_id: scope.tenant.id, action: 'product.created' })
      .whereNotNull('sequence')
      .pluck('object_id')
    changes += made.length
    expect(told.sort(), said).toEqual(made.sort())
  }
  expect(changes, said).toBeGreaterThan(KILLS / 2)
  // the kills struck where they were meant to
  expect(Math.min(unrelayed, unsealed), said).toBeGreaterThan(0)
  expect((await verifyAudit(ctx, await readAuditKey(ctx))).fault, said).toBeUndefined()
})
