import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { readAuditKey } from '../../src/core/audit/audit-key.js'
import { verifyAudit } from '../../src/core/audit/verify-audit.js'
import { rowsOf } from '../../src/core/db/statements.js'
import { insertProduct } from '../../src/core/products/product-store.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { seed, volume } from '../support/campaign.js'
import { eventually } from '../support/eventually.js'
import { provision } from '../support/house.js'
import { type Environment, freshEnvironment, initialize, open } from '../support/platform.js'
import { createRandom, type Random } from '../support/random.js'
import { startCli, startScript } from '../support/real-process.js'
import { startThrowAwayServer } from '../support/throw-away-server.js'
import { type Crowd, productOf, SHARED, type Written } from '../support/trail-crowd.js'

const EVENTS = volume(1_000, 10_000)
/** Writers of each process: sixteen in all. */
const WRITERS = [6, 5, 5]
const SLUGS = ['one', 'two', 'three']

type Told = { readonly sequence: number; readonly id: string }

/** The tenants that they write to have events of their own, from when they were provisioned. */
const isOfCrowd = (id: string): boolean => /^w\d-/.test(id)

/** What is wrong with what a tail showed, by what the writers know; all of it empty where nothing is. */
function faultsOf(told: readonly Told[], written: ReadonlyMap<string, Written>) {
  const ids = told.map(({ id }) => id)
  const shown = new Set(ids)
  const earliestOver = new Map<string, number>()
  const disordered: string[] = []
  for (const id of [...ids].reverse()) {
    const one = written.get(id)
    if (!one) continue
    const { place, begunUs, overUs } = one
    // somebody later in the trail was over before this one began
    if ((earliestOver.get(place) ?? Number.POSITIVE_INFINITY) < begunUs) disordered.push(id)
    earliestOver.set(place, Math.min(overUs, earliestOver.get(place) ?? Number.POSITIVE_INFINITY))
  }
  const revisions = new Map<string, number>()
  const crossed: string[] = []
  for (const id of ids) {
    const { place = '', revision } = written.get(id) ?? {}
    if (revision === undefined) continue
    // the lock on what they share lets them commit one after another, so this is the order of their commits
    if (revision <= (revisions.get(place) ?? 0)) crossed.push(id)
    revisions.set(place, Math.max(revision, revisions.get(place) ?? 0))
  }
  return {
    lost: [...written.values()]
      .filter(({ id, outcome }) => outcome === 'committed' && !shown.has(id))
      .map(({ id }) => id),
    invented: ids.filter(
      (id) => isOfCrowd(id) && (written.get(id)?.outcome ?? 'rolled back') === 'rolled back',
    ),
    twice: repeatedIn(ids.filter(isOfCrowd)),
    disordered,
    crossed,
    gaps: told
      .filter(
        ({ sequence }, index) => index > 0 && sequence !== (told[index - 1]?.sequence ?? 0) + 1,
      )
      .map(({ sequence }) => sequence),
  }
}

function repeatedIn(ids: readonly string[]): string[] {
  const seen = new Set<string>()
  return ids.filter((id) => seen.size === seen.add(id).size)
}

const NONE = { lost: [], invented: [], twice: [], disordered: [], crossed: [], gaps: [] }

/** The same, with one thing wrong: the detector must tell. */
function planted(told: readonly Told[], random: Random): Readonly<Record<string, readonly Told[]>> {
  const at = 100 + random.below(told.length - 200)
  const without = told.filter((_, index) => index !== at)
  const one = told[at] as Told
  return {
    'one is lost': without,
    'one comes twice': [...told.slice(0, at), one, ...told.slice(at)],
    'one comes too late': [...without, one],
    'one comes too early': [one, ...without],
    'one was rolled back': [...told, { sequence: told.length + 1, id: 'w9-nobody' }],
  }
}

/** What a tail printed: the rows of whole lines. */
const rowsIn = (out: string): Told[] =>
  out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { sequence: number; object: { id: string } })
    .map(({ sequence, object }) => ({ sequence, id: object.id }))

/** `audit tail -f`, from the beginning on: ended and gone on with as often as it is told. */
function follow(environment: Environment) {
  const shown: Told[] = []
  const hints: number[] = []
  const start = () =>
    startCli(environment, [
      ...['audit', 'tail', '-f', '--json', '--from-seq'],
      String(shown.at(-1)?.sequence ?? 0),
    ])
  let tail = start()
  const end = async (signal: 'SIGKILL' | 'SIGINT') => {
    // a program that is still loading would say nothing
    if (signal === 'SIGINT') await tail.line('{')
    tail.signal(signal)
    const { out, said } = await tail.ended
    shown.push(...rowsIn(out))
    const hint = /--from-seq (\d+)\n$/.exec(said)?.[1]
    if (signal === 'SIGINT') hints.push(Number(hint), shown.at(-1)?.sequence ?? 0)
  }
  return {
    shown,
    hints,
    end,
    /** Resolves once it has shown that row. */
    reach: (sequence: number) => eventually(() => rowsIn(tail.out).at(-1)?.sequence === sequence),
    async resume(signal: 'SIGKILL' | 'SIGINT') {
      await end(signal)
      tail = start()
    },
  }
}

test(`of ${EVENTS} events by 16 writers in 3 processes the trail loses none, doubles none, and keeps the order of the commits`, async () => {
  await using server = await startThrowAwayServer({})
  const environment = freshEnvironment(server.databaseUrl)
  await initialize(environment)
  await using ctx = await open(environment)
  for (const slug of SLUGS) {
    await provision(ctx, slug, 'enterprise')
    const { lend, now } = await enterTenant(ctx, slug).then((scope) => ({
      lend: scope.lend.bind(scope),
      now: scope.now(),
    }))
    await lend((connection) => insertProduct(connection, productOf(SHARED, now)))
  }

  const whole = follow(environment)
  const broken = follow(environment)
  /** What the naive way sees: rows with an id above the highest that it has seen. */
  const naive = new Set<string>()
  const watching = new AbortController()
  const watched = (async () => {
    let last = 0
    while (!watching.signal.aborted) {
      const rows = await rowsOf<{ id: number | string; object_id: string }>(
        ctx.platform,
        'select id, object_id from audit_logs where id > ? order by id',
        [last],
      ).catch(() => [])
      for (const { id, object_id } of rows) {
        naive.add(object_id)
        last = Math.max(last, Number(id))
      }
      await sleep(5)
    }
  })()

  const crowds = WRITERS.map((writers, index) => {
    const crowd: Crowd = {
      name: `w${index}`,
      seed: seed + index,
      slugs: SLUGS,
      writers,
      events: Math.ceil(EVENTS / WRITERS.length),
    }
    return startScript({ ...environment, CROWD: JSON.stringify(crowd) }, 'trail-crowd.ts')
  })
  const sealedCount = async (): Promise<number> => {
    const [row] = await rowsOf<{ count: number | string }>(
      ctx.platform,
      'select coalesce(max(sequence), 0) as count from audit_logs',
    )
    return Number(row?.count)
  }
  const sealedBeyond = (count: number) => eventually(sealedCount, (sealed) => sealed >= count)
  await sealedBeyond(0.15 * EVENTS)
  await broken.resume('SIGKILL')
  await sealedBeyond(0.3 * EVENTS)
  await broken.resume('SIGINT')
  await sealedBeyond(0.45 * EVENTS)
  await server.crash()
  await sealedBeyond(0.65 * EVENTS)
  await broken.resume('SIGKILL')
  for (const crowd of crowds) crowd.write('enough')
  const ended = await Promise.all(crowds.map(({ ended }) => ended))
  const written = new Map(
    ended
      .flatMap(({ out }) => out.split('\n').filter((line) => line.startsWith('{')))
      .map((line) => JSON.parse(line) as Written)
      .map((one) => [one.id, one]),
  )
  const said = `VALIDONX_TEST_SEED=${seed}\n${ended.map((each) => each.said).join('')}`
  expect(
    ended.map(({ status }) => status),
    said,
  ).toEqual([0, 0, 0])

  // what the processes left unsealed is sealed by whatever command comes next
  const settle = startCli(environment, ['audit', 'verify', '--json'])
  expect((await settle.ended).status, said).toBe(0)
  const key = await readAuditKey(ctx)
  const { fault, head } = await verifyAudit(ctx, key)
  expect(fault, said).toBeUndefined()
  const total = head?.sequence ?? 0
  for (const tail of [whole, broken]) {
    await tail.reach(total)
    await tail.end('SIGINT')
  }
  watching.abort()
  await watched

  // what the databases hold is what was committed, also where a writer could not tell
  const changed = new Set<string>()
  for (const slug of SLUGS) {
    const scope = await enterTenant(ctx, slug)
    for (const id of (await scope.db('products').pluck('id')) as string[]) changed.add(id)
  }
  changed.delete(SHARED)
  expect(whole.shown).toHaveLength(total)
  expect(broken.shown, said).toEqual(whole.shown)
  for (const { hints } of [whole, broken])
    expect(hints.filter((_, index) => index % 2 === 0)).toEqual(
      hints.filter((_, index) => index % 2 === 1),
    )
  expect(faultsOf(whole.shown, written), said).toEqual(NONE)
  const told = whole.shown.filter(({ id }) => isOfCrowd(id))
  expect(told.length).toBeGreaterThanOrEqual(EVENTS)
  const platform = (id: string): boolean => written.get(id)?.place === 'platform'
  expect(
    told
      .filter(({ id }) => !platform(id))
      .map(({ id }) => id)
      .sort(),
    said,
  ).toEqual([...changed].sort())
  // the writers did what they were to do: roll back, hold, and lose their database
  const outcomes = [...written.values()].map(({ outcome }) => outcome)
  expect(outcomes.filter((outcome) => outcome === 'rolled back').length).toBeGreaterThan(
    EVENTS / 50,
  )
  expect(outcomes.filter((outcome) => outcome === 'unknown').length).toBeGreaterThan(0)
  // a tail by id would have lost some
  expect(
    [...written.values()].filter(({ id, outcome }) => outcome === 'committed' && !naive.has(id))
      .length,
    said,
  ).toBeGreaterThan(0)
  for (const [what, bent] of Object.entries(planted(whole.shown, createRandom(seed))))
    expect(faultsOf(bent, written), what).not.toEqual(NONE)
})
