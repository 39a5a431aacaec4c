import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { AppError } from '../../src/core/errors.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import { stages } from '../../src/core/provisioning/stages/index.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { atMost } from '../support/at-most.js'
import { test as house } from '../support/house.js'
import { type Environment, open } from '../support/platform.js'
import { createRandom, freshSeed } from '../support/random.js'
import { type Exit, type Interruption, startCli } from '../support/real-process.js'
import { standingOf } from '../support/standing.js'

const STAGES = stages.map(({ name }) => name)
const POINTS = ['before effect', 'after effect', 'after record']
const MOMENTS = STAGES.flatMap((stage) => POINTS.map((point) => `${stage}/${point}`))
const RANDOM_KILLS = 20

const seed = freshSeed()
const inTurn = atMost(3)

const start = (environment: Environment, slug: string, interruption: Interruption = {}) =>
  startCli(environment, ['tenant', 'provision', slug, '--json'], interruption)

async function run(
  environment: Environment,
  slug: string,
  interruption: Interruption = {},
): Promise<Exit> {
  await using validonx = start(environment, slug, interruption)
  // awaited here, or it would be killed as this function returns
  return await validonx.ended
}

type Shown = {
  readonly outcome?: string
  readonly secret?: string
  readonly durationMs?: number
}

/** What a command had shown by the time that it ended or was cut off. */
function readShown({ out }: Exit): Shown {
  if (!out.endsWith('\n')) return {}
  const { outcome, api_key, duration_ms } = JSON.parse(out)
  return { outcome, secret: api_key?.secret, durationMs: duration_ms }
}

/** The same from within this process. Answers the API key that was shown, if one was. */
async function resume(ctx: Context, slug: string): Promise<string | undefined> {
  let shown: string | undefined
  await provisionTenant(
    ctx,
    { slug },
    {
      deliver: async ({ apiKey }) => {
        shown = apiKey?.secret
      },
    },
  )
  return shown
}

/** Asks again for as long as another holds the lease; any other answer is the answer. */
async function onceFree<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'LEASE.HELD')) throw error
      await sleep(100)
    }
  }
}

/** As if the time of the lease had passed, by the database's clock. */
async function letLeaseEnd({ platform }: Context, slug: string): Promise<void> {
  const { id } = await getTenant(platform, slug)
  await platform('leases')
    .where({ name: `tenant/${id}` })
    .update({ expires_at: platform.raw('utc_timestamp(6)') })
}

const test = house
  // a process of another machine cannot tell who is dead on this one
  .extend('elsewhere', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const elsewhere = await open(environment, {
      holder: { name: 'elsewhere:1:x', machine: undefined, pid: 1 },
    })
    onCleanup(() => elsewhere[Symbol.asyncDispose]())
    return elsewhere
  })
  .extend('undisturbed', { scope: 'file' }, async ({ environment, ctx, provisioner }) => {
    const exit = await run(environment, 'undisturbed')
    const { secret = '', durationMs = 0 } = readShown(exit)
    expect(exit).toMatchObject({ status: 0, said: 'begun\n' })
    return { standing: await standingOf({ ctx, provisioner }, 'undisturbed', secret), durationMs }
  })

describe.concurrent('a process that sleeps past its lease', () => {
  // not in turn: they do little but wait
  test.for(['seed-configuration-defaults', 'generate-api-key', 'health-check-and-activate'])(
    'at the start of %s finds its tenant taken over when it wakes, and changes nothing',
    async (stage, { environment, ctx, provisioner, elsewhere, undisturbed }) => {
      const slug = `slept-${STAGES.indexOf(stage)}`
      await using stale = start({ ...environment, VALIDONX_LEASE_TIME: '10' }, slug, {
        pauseAt: `${stage}/before effect`,
      })
      await stale.line('paused')
      const secret = await onceFree(() => resume(elsewhere, slug))
      stale.signal('SIGCONT')
      const woken = await stale.ended

      expect(woken).toMatchObject({ status: 75, out: '' })
      expect(woken.said).toContain('LEASE.LOST')
      expect(await standingOf({ ctx, provisioner }, slug, secret ?? '')).toEqual(
        undisturbed.standing,
      )
    },
  )

  // a machine that was suspended: by its own clock no time has passed, and the lease is still its own
  test.for(STAGES)(
    'at the start of %s, and whose clock slept too, changes nothing either',
    (stage, { environment, ctx, provisioner, elsewhere, undisturbed }) =>
      inTurn(async () => {
        const slug = `froze-${STAGES.indexOf(stage)}`
        await using stale = start(environment, slug, { pauseAt: `${stage}/before effect` })
        await stale.line('paused')
        await letLeaseEnd(ctx, slug)
        const secret = await resume(elsewhere, slug)
        stale.signal('SIGCONT')
        const woken = await stale.ended

        expect(woken.out).toBe('')
        // the first stage finds for itself that the tenant is open by now
        expect(woken.said).toMatch(
          stage === 'validate-tenant-record' ? 'TENANT.INVALID_STATE' : 'LEASE.LOST',
        )
        expect(await standingOf({ ctx, provisioner }, slug, secret ?? '')).toEqual(
          undisturbed.standing,
        )
      }),
  )
})

describe.concurrent('a process that is killed', () => {
  test.for(MOMENTS)(
    'at %s is followed up by the same command at once, and nothing tells of it',
    (moment, { environment, ctx, provisioner, undisturbed }) =>
      inTurn(async () => {
        const slug = `killed-here-${MOMENTS.indexOf(moment)}`
        const killed = await run(environment, slug, { crashAt: moment })
        const resumed = await run(environment, slug)

        expect(killed).toMatchObject({ signal: 'SIGKILL', out: '' })
        expect(resumed).toMatchObject({ status: 0 })
        const { outcome, secret = '' } = readShown(resumed)
        expect(outcome).toBe('resumed')
        expect(await standingOf({ ctx, provisioner }, slug, secret)).toEqual(undisturbed.standing)
      }),
  )

  test.for(MOMENTS)(
    'at %s is followed up from another machine when its lease has ended, not before',
    (moment, { environment, ctx, provisioner, elsewhere, undisturbed }) =>
      inTurn(async () => {
        const slug = `killed-there-${MOMENTS.indexOf(moment)}`
        const killed = await run(environment, slug, { crashAt: moment })
        const tooEarly = resume(elsewhere, slug)
        await expect(tooEarly).rejects.toMatchObject({ code: 'LEASE.HELD' })
        await letLeaseEnd(ctx, slug)
        const secret = await resume(elsewhere, slug)

        expect(killed).toMatchObject({ signal: 'SIGKILL', out: '' })
        expect(await standingOf({ ctx, provisioner }, slug, secret ?? '')).toEqual(
          undisturbed.standing,
        )
      }),
  )

  const random = createRandom(seed)
  const kills = Array.from({ length: RANDOM_KILLS }, (_, index) => ({
    index,
    share: random.next(),
    // some die while the program is still loading
    isEarly: random.below(4) === 0,
  }))
  test.for(kills)(
    `at any moment leaves what the next run completes (kill $index of SEED=${seed})`,
    ({ index, share, isEarly }, { environment, ctx, provisioner, undisturbed }) =>
      inTurn(async () => {
        const slug = `killed-somewhere-${index}`
        await using validonx = start(environment, slug)
        if (!isEarly) await validonx.line('begun')
        await sleep(share * (isEarly ? 400 : undisturbed.durationMs * 1.2))
        validonx.signal('SIGKILL')
        const killed = await validonx.ended
        // every other time within a millisecond, while the server may still work for the dead
        const shown =
          index % 2 === 0 ? await resume(ctx, slug) : readShown(await run(environment, slug)).secret

        expect(killed.signal === 'SIGKILL' || killed.status === 0).toBe(true)
        const secret = shown ?? readShown(killed).secret ?? ''
        expect(await standingOf({ ctx, provisioner }, slug, secret)).toEqual(undisturbed.standing)
      }),
  )
})

test('interrupted runs leave no database behind that is not a tenant’s', async ({
  ctx,
  provisioner,
}) => {
  const prefix = ctx.config.tenantPrefix
  const databases = await provisioner.rows<{ name: string }>(
    'select schema_name as name from information_schema.schemata where left(schema_name, ?) = ?',
    [prefix.length, prefix],
  )
  const tenants: string[] = await ctx.platform('tenants').pluck('database_name')

  expect(databases.map(({ name }) => name).sort()).toEqual(
    [`${prefix}_template`, ...tenants].sort(),
  )
})
