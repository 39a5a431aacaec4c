import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { thisProcess } from '../../src/core/db/holder.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import { seed, volume } from '../support/campaign.js'
import { codeOf } from '../support/code-of.js'
import { freshSlug, test as house, provision } from '../support/house.js'
import { open } from '../support/platform.js'
import type { Call } from '../support/provision-many.js'
import { createRandom } from '../support/random.js'
import { type Exit, startCli, startScript } from '../support/real-process.js'
import { standingOf } from '../support/standing.js'

const PROCESSES = 5

/** What must not be said of calls that raced for one slug. */
function faultsOf(calls: readonly Call[]): string[] {
  const made = calls.filter(({ answer }) => answer === 'provisioned' || answer === 'resumed')
  const others = calls.filter(
    ({ answer }) => !['provisioned', 'resumed', 'unchanged', 'LEASE.HELD'].includes(answer),
  )
  return [
    ...(made.length === 1 ? [] : [`${made.length} calls made the tenant`]),
    ...others.map(({ answer }) => `a call ended with ${answer}`),
  ]
}

/** A command line as a call. */
function callOf({ status, out, said }: Exit): Call {
  const { outcome, api_key, error } = JSON.parse(out || said)
  return outcome ? { answer: outcome, secret: api_key?.secret } : { answer: error?.code ?? status }
}

const test = house.extend('workers', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
  const workers = Array.from({ length: PROCESSES }, () =>
    startScript(environment, './provision-many.ts'),
  )
  onCleanup(async () => {
    for (const worker of workers) await worker[Symbol.asyncDispose]()
  })
  await Promise.all(workers.map((worker) => worker.line('ready')))
  return workers
})

const random = createRandom(seed)
const rounds = Array.from({ length: volume(1, 3) }, (_, round) => ({
  round,
  headStartMs: random.below(500),
}))

test.for(rounds)(
  `fifty-five provisions of one slug at once, by ten processes, make one tenant (round $round of VALIDONX_TEST_SEED=${random.seed})`,
  async ({ round, headStartMs }, { environment, ctx, provisioner, workers }) => {
    const slug = `raced-${round}`
    const plain = freshSlug()
    const undisturbed = await standingOf({ ctx, provisioner }, plain, await provision(ctx, plain))

    const commands = workers.map(() =>
      startCli(environment, ['tenant', 'provision', slug, '--json']),
    )
    await sleep(headStartMs)
    for (const worker of workers) worker.write(slug)
    const answers = await Promise.all(workers.map((worker) => worker.line('[', round)))
    const exits = await Promise.all(commands.map(({ ended }) => ended))

    const calls = [...answers.flatMap((line): Call[] => JSON.parse(line)), ...exits.map(callOf)]
    expect(calls).toHaveLength(55)
    expect(faultsOf(calls)).toEqual([])
    const shown = calls.flatMap(({ secret }) => secret ?? [])
    expect(shown).toHaveLength(1)
    expect(await standingOf({ ctx, provisioner }, slug, shown.join())).toEqual(undisturbed)
    const tenants = await ctx.platform('tenants').where({ slug }).select('id', 'database_name')
    expect(tenants).toHaveLength(1)
    const keys = await ctx.platform('api_keys').where({ tenant_id: tenants[0]?.id }).select('id')
    expect(keys).toHaveLength(1)
  },
)

test('the races leave one database for each tenant', async ({ ctx, provisioner }) => {
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

test('a lease that is taken from the living would be seen', async ({ environment }) => {
  const { machine } = thisProcess()
  const ghosts = await Promise.all(
    // no process has an id as high as this, so each takes the others for dead
    Array.from({ length: 8 }, (_, index) =>
      open(environment, { holder: { name: `ghost-${index}`, machine, pid: 2 ** 31 - 1 - index } }),
    ),
  )

  const calls = await Promise.all(
    ghosts.map((ghost) =>
      provisionTenant(ghost, { slug: 'haunted' }, { deliver: async () => {} }).then(
        ({ outcome }): Call => ({ answer: outcome }),
        (error: unknown): Call => ({ answer: codeOf(error) }),
      ),
    ),
  )

  for (const ghost of ghosts) await ghost[Symbol.asyncDispose]()
  expect(faultsOf(calls)).not.toEqual([])
})
