import { setTimeout as sleep } from 'node:timers/promises'
import { TrailKeeper } from '../../src/core/audit/trail-keeper.js'
import type { Context } from '../../src/core/context.js'
import { inTransaction } from '../../src/core/db/transaction.js'
import { recordAudit } from '../../src/core/events/audit-store.js'
import { recordEvent } from '../../src/core/events/outbox-store.js'
import { createLog } from '../../src/core/log.js'
import type { Product } from '../../src/core/products/product.js'
import { insertProduct, lockProduct, setProduct } from '../../src/core/products/product-store.js'
import { enterTenant, type TenantScope } from '../../src/core/tenants/scope.js'
import { type Environment, open } from './platform.js'
import { createRandom } from './random.js'

/** What the crowd says of one write, in a line of its own, with the machine's monotonic clock. */
export type Written = {
  /** What the event is of, and the place whose order it shares: a tenant, or the platform. */
  readonly id: string
  readonly place: string
  /** The number that the change gave to what all of a tenant's writers change in turn. */
  readonly revision?: number
  readonly begunUs: number
  readonly overUs: number
  readonly outcome: 'committed' | 'rolled back' | 'unknown'
}

/** What a crowd is told, as JSON in CROWD. */
export type Crowd = {
  readonly name: string
  readonly seed: number
  readonly slugs: readonly string[]
  readonly writers: number
  /** It ends once so many are committed and it was told that it is enough. */
  readonly events: number
}

/** The product that all writers of a tenant change. */
export const SHARED = 'shared'

const ON_PURPOSE = new Error('rolled back on purpose')
const nowUs = (): number => Number(process.hrtime.bigint() / 1_000n)

/** Each write makes a thing of its own; half of them also change what all of the tenant's writers change in turn. */
async function writeTenant(
  scope: TenantScope,
  id: string,
  isShared: boolean,
  hold: () => Promise<void>,
): Promise<number | undefined> {
  return scope.transaction(async (transaction) => {
    const at = scope.now()
    const shared = isShared ? await lockProduct(transaction, SHARED) : undefined
    const revision = shared && shared.revision + 1
    if (shared) await setProduct(transaction, { ...shared, revision: shared.revision + 1 })
    await insertProduct(transaction, productOf(id, at))
    await recordEvent(transaction, scope, {
      at,
      action: 'product.created',
      objectType: 'product',
      objectId: id,
      changes: { after: { revision: revision ?? null } },
    })
    await hold()
    return revision
  })
}

export const productOf = (id: string, at: Date): Product => ({
  id,
  code: id,
  name: 'P',
  description: undefined,
  status: 'active',
  metadata: {},
  revision: 1,
  createdAt: at,
  updatedAt: at,
})

async function writePlatform(ctx: Context, id: string, hold: () => Promise<void>): Promise<void> {
  await inTransaction(ctx.platform, async (transaction) => {
    await recordAudit(transaction, ctx, null, {
      at: ctx.now(),
      action: 'product.created',
      objectType: 'product',
      objectId: id,
    })
    await hold()
  })
}

async function run(
  ctx: Context,
  { name, seed, slugs, writers, events }: Crowd,
  say: (written: Written) => void,
  isEnough: () => boolean,
): Promise<void> {
  await using keeper = new TrailKeeper(ctx)
  let committed = 0
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const random = createRandom(seed * 100 + writer)
      const scope = await enterTenant(ctx, slugs[writer % slugs.length] ?? '')
      for (let index = 0; committed < events || !isEnough(); index += 1) {
        const id = `${name}-${writer}-${index}`
        const fails = random.below(12) === 0
        // now and then one that lasts while hundreds of others come and go
        const holdMs =
          random.below(300) === 0
            ? 300 + random.below(700)
            : random.below(10) === 0
              ? random.below(30)
              : 0
        const hold = async () => {
          if (holdMs > 0) await sleep(holdMs)
          if (fails) throw ON_PURPOSE
        }
        const isPlatform = random.below(10) === 0
        const place = isPlatform ? 'platform' : scope.tenant.slug
        const begunUs = nowUs()
        try {
          const revision = isPlatform
            ? await writePlatform(ctx, id, hold)
            : await writeTenant(scope, id, random.below(2) === 0, hold)
          say({
            id,
            place,
            begunUs,
            overUs: nowUs(),
            outcome: 'committed',
            ...(revision === undefined ? {} : { revision }),
          })
          committed += 1
        } catch (error) {
          const outcome = error === ON_PURPOSE ? 'rolled back' : 'unknown'
          say({ id, place, begunUs, overUs: nowUs(), outcome })
          // the database is away for a moment
          if (outcome === 'unknown') await sleep(50)
        }
        if (!isPlatform) keeper.touch(scope.tenant)
      }
    }),
  )
}

const { CROWD = '', ...environment } = process.env as Environment
if (CROWD) {
  const ctx = await open(environment, {
    log: createLog('warn', (line) => void process.stderr.write(line)),
  })
  let isEnough = false
  process.stdin.once('data', () => {
    isEnough = true
    process.stdin.destroy()
  })
  process.stdout.write('ready\n')
  await run(
    ctx,
    JSON.parse(CROWD) as Crowd,
    (written) => {
      process.stdout.write(`${JSON.stringify(written)}\n`)
    },
    () => isEnough,
  )
  await ctx[Symbol.asyncDispose]()
  process.stdout.write('done\n')
}
