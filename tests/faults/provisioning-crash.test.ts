import { describe, expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import type { Stage } from '../../src/core/provisioning/stage.js'
import { stages } from '../../src/core/provisioning/stages/index.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { atMost } from '../support/at-most.js'
import { seed, volume } from '../support/campaign.js'
import { codeOf } from '../support/code-of.js'
import { CountingProxy, through } from '../support/counting-proxy.js'
import { signal, whileRefused } from '../support/eventually.js'
import { test as house, runCli } from '../support/house.js'
import { type Environment, open } from '../support/platform.js'
import type { Until } from '../support/provision-until.js'
import { createRandom } from '../support/random.js'
import { type Interruption, startCli, startScript } from '../support/real-process.js'
import { standingOf } from '../support/standing.js'

const STAGES = stages.map(({ name }) => name)
const POINTS = ['before effect', 'after effect', 'after record']
const MOMENTS = STAGES.flatMap((stage) => POINTS.map((point) => `${stage}/${point}`))
const RANDOM_KILLS = volume(4, 20)

const inTurn = atMost(3)

const start = (environment: Environment, slug: string, interruption: Interruption = {}) =>
  startCli(environment, ['tenant', 'provision', slug, '--json'], interruption)

type Shown = { readonly outcome?: string; readonly secret?: string }

/** What a command had shown by the time that it ended or was cut off. */
function readShown(out: string): Shown {
  if (!out.endsWith('\n')) return {}
  const { outcome, api_key } = JSON.parse(out)
  return { outcome, secret: api_key?.secret }
}

/** Provisions from within this process. Returns the API key that was shown, if one was. */
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

/** As if the time of the lease had passed, by the database's clock. */
async function letLeaseEnd({ platform }: Context, slug: string): Promise<void> {
  const { id } = await getTenant(platform, slug)
  await platform('leases')
    .where({ name: `tenant/${id}` })
    .update({ expires_at: platform.raw('utc_timestamp(6)') })
}

/** Called once when a run of that tenant begins that stage (`<slug>/<stage>`), which waits for it. */
const holds = new Map<string, () => Promise<void>>()

/** Lets a test hold any stage up before it does anything. */
function makeStagesWait(): void {
  for (const [index, stage] of stages.entries()) {
    const waiting: Stage = {
      ...stage,
      async run(job) {
        const key = `${job.tenant.slug}/${stage.name}`
        const hold = holds.get(key)
        holds.delete(key)
        await hold?.()
        await stage.run(job)
      },
    }
    ;(stages as Stage[])[index] = waiting
  }
}
makeStagesWait()

const slugFor = (what: string, moment: string): string =>
  `killed-${what}-${MOMENTS.indexOf(moment)}`

const test = house
  // a process of another machine cannot tell who is dead on this one
  .extend('elsewhere', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const elsewhere = await open(environment, {
      holder: { name: 'elsewhere:1:x', machine: undefined, pid: 1 },
    })
    onCleanup(() => elsewhere[Symbol.asyncDispose]())
    return elsewhere
  })
  // holds its leases however slow the machine is
  .extend('patient', { scope: 'file' }, ({ environment }) => ({
    ...environment,
    VALIDONX_LEASE_TIME: '3600',
  }))
  .extend('sleeper', { scope: 'file' }, async ({ patient }, { onCleanup }) => {
    const sleeper = await open(patient)
    onCleanup(() => sleeper[Symbol.asyncDispose]())
    return sleeper
  })
  .extend('undisturbed', { scope: 'file' }, async ({ environment, ctx, provisioner }) => {
    await using proxy = await CountingProxy.open(provisioner.reach.address)
    await using validonx = start(through(proxy, environment), 'undisturbed')
    const exit = await validonx.ended
    const { secret = '' } = readShown(exit.out)
    expect(exit).toMatchObject({ status: 0, said: 'begun\n' })
    const standing = await standingOf({ ctx, provisioner }, 'undisturbed', secret)
    return { standing, commands: proxy.count }
  })
  // one process with a run of each tenant, each stopped at another moment when the process is killed
  .extend('killed', { scope: 'file' }, async ({ patient }) => {
    const untils = ['here', 'there'].flatMap((what) =>
      MOMENTS.map((moment): Until => ({ slug: slugFor(what, moment), moment })),
    )
    const environment = { ...patient, UNTIL: JSON.stringify(untils) }
    await using victim = startScript(environment, './provision-until.ts')
    await victim.line('all stopped')
    victim.signal('SIGKILL')
    const { signal, out } = await victim.ended
    expect(signal).toBe('SIGKILL')
    return out
  })

describe.concurrent('a process that sleeps past its lease', () => {
  test.for(['seed-configuration-defaults', 'generate-api-key', 'health-check-and-activate'])(
    'at the start of %s finds its tenant taken over when it wakes, and changes nothing',
    async (stage, { environment, ctx, provisioner, elsewhere, undisturbed }) => {
      const slug = `slept-${STAGES.indexOf(stage)}`
      await using stale = start({ ...environment, VALIDONX_LEASE_TIME: '10' }, slug, {
        pauseAt: `${stage}/before effect`,
      })
      await stale.line('paused')
      const secret = await whileRefused('LEASE.HELD', () => resume(elsewhere, slug))
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
    (stage, { ctx, provisioner, sleeper, elsewhere, undisturbed }) =>
      inTurn(async () => {
        const slug = `froze-${STAGES.indexOf(stage)}`
        const [asleep, fallAsleep] = signal()
        const [awake, wake] = signal()
        holds.set(`${slug}/${stage}`, () => {
          fallAsleep()
          return awake
        })
        const stale = resume(sleeper, slug).then((shown) => ({ shown }), codeOf)
        await asleep
        await letLeaseEnd(ctx, slug)
        const secret = await resume(elsewhere, slug)
        wake()

        // the first stage finds for itself that the tenant is open by now
        expect(await stale).toBe(
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
    (moment, { environment, ctx, provisioner, undisturbed, killed }) =>
      inTurn(async () => {
        const slug = slugFor('here', moment)
        const resumed = await runCli(environment, ['tenant', 'provision', slug, '--json'])

        expect(killed).toContain(`stopped ${JSON.stringify({ slug, moment, out: '' })}\n`)
        expect(resumed).toMatchObject({ exit: 0 })
        const { outcome, secret = '' } = readShown(resumed.out)
        expect(outcome).toBe('resumed')
        expect(await standingOf({ ctx, provisioner }, slug, secret)).toEqual(undisturbed.standing)
      }),
  )

  test.for(MOMENTS)(
    'at %s is followed up from another machine when its lease has ended, not before',
    (moment, { ctx, provisioner, elsewhere, undisturbed, killed }) =>
      inTurn(async () => {
        const slug = slugFor('there', moment)
        const tooEarly = resume(elsewhere, slug)
        await expect(tooEarly).rejects.toMatchObject({ code: 'LEASE.HELD' })
        await letLeaseEnd(ctx, slug)
        const secret = await resume(elsewhere, slug)

        expect(killed).toContain(`stopped ${JSON.stringify({ slug, moment, out: '' })}\n`)
        expect(await standingOf({ ctx, provisioner }, slug, secret ?? '')).toEqual(
          undisturbed.standing,
        )
      }),
  )

  const random = createRandom(seed)
  const kills = Array.from({ length: RANDOM_KILLS }, (_, index) => ({
    index,
    share: random.next(),
    when: random.pick(['before', 'after'] as const),
  }))
  test.for(kills)(
    `at any command leaves what the next run completes (kill $index of VALIDONX_TEST_SEED=${seed})`,
    ({ index, share, when }, { environment, ctx, provisioner, undisturbed }) =>
      inTurn(async () => {
        const slug = `killed-somewhere-${index}`
        await using proxy = await CountingProxy.open(provisioner.reach.address)
        await using validonx = start(through(proxy, environment), slug)
        const command = 1 + Math.floor(share * undisturbed.commands)
        proxy.interruption = { command, when, act: () => validonx.signal('SIGKILL') }
        const killed = await validonx.ended
        // every other time within a millisecond, while the server may still work for the dead
        const shown =
          index % 2 === 0
            ? await resume(ctx, slug)
            : readShown((await runCli(environment, ['tenant', 'provision', slug, '--json'])).out)
                .secret

        // the last few commands of a run are not always the same
        expect(killed.signal === 'SIGKILL' || command > undisturbed.commands - 5).toBe(true)
        const secret = shown ?? readShown(killed.out).secret ?? ''
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
