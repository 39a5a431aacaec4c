import fc from 'fast-check'
import { expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import type { Provisioner } from '../../src/core/db/provisioner.js'
import { quoteName } from '../../src/core/db/sql.js'
import { AppError } from '../../src/core/errors.js'
import { type FleetRequest, migrateFleet } from '../../src/core/fleet/migrate-fleet.js'
import type { RolloutPlan } from '../../src/core/fleet/plan-rollout.js'
import { seed, volume } from '../support/campaign.js'
import { addMigrations, databaseOf, type PlainMigration } from '../support/fleet.js'
import { test as house, provisionFleet } from '../support/house.js'

/**
 * Random fleets: migrations, rollbacks, failures, interruptions and crashes in any order. After each
 * command every tenant must have what a simple model of rollouts says, in its ledger and in its schema,
 * and must have lost nothing that the printed plan doesn't name.
 */

const TENANTS = 4
const NAMES = ['20991201-01-m0', '20991201-02-m1', '20991201-03-m2', '20991201-04-m3'] as const
/** This one changes rows, the others make a table. */
const ROWS = 2

const tableOf = (index: number): string => `m${index}`
const gateOf = (index: number): string => `gate${index}`

/** Parents of what the others make: taken away, they make these fail. */
const GATES: readonly PlainMigration[] = NAMES.map((_, index) => ({
  name: `2099110${index}-01-${gateOf(index)}`,
  up: [`create table ${gateOf(index)} (id int not null primary key) engine = InnoDB`],
  down: [`drop table ${gateOf(index)}`],
}))

const MIGRATIONS: readonly PlainMigration[] = NAMES.map((name, index) => ({
  name,
  up: [
    index === ROWS
      ? `insert into ${gateOf(index)} (id) values (7)`
      : `create table ${tableOf(index)} (id int not null primary key, constraint ${tableOf(index)}_gate foreign key (id) references ${gateOf(index)} (id)) engine = InnoDB`,
  ],
  down: [
    index === ROWS ? `delete from ${gateOf(index)} where id = 7` : `drop table ${tableOf(index)}`,
  ],
}))

type Choice = { readonly only?: readonly number[]; readonly exclude?: readonly number[] }
type Command =
  | { readonly do: 'migrate'; readonly to: number; readonly choice: Choice; readonly cut: boolean }
  | {
      readonly do: 'rollback'
      readonly by: 'last' | 'to' | 'steps' | 'rollout'
      readonly n: number
      readonly choice: Choice
      readonly cut: boolean
    }
  | { readonly do: 'resume' | 'retry failed'; readonly cut: boolean }
  | {
      readonly do: 'block' | 'unblock' | 'hold' | 'release' | 'crash'
      readonly tenant: number
      readonly n: number
    }

const tenants = fc.uniqueArray(fc.nat(TENANTS - 1), { minLength: 1, maxLength: TENANTS })
const choice: fc.Arbitrary<Choice> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  fc.record({ only: tenants }),
  fc.record({ exclude: tenants }),
)
const n = fc.nat(NAMES.length - 1)
const cut = fc.boolean()
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('migrate' as const), to: n, choice, cut }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('rollback' as const),
        by: fc.constantFrom('last' as const, 'last' as const, 'to', 'steps', 'rollout'),
        n,
        choice,
        cut,
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constantFrom('resume' as const, 'retry failed' as const),
        cut,
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constantFrom('block', 'unblock', 'hold', 'release', 'crash'),
        tenant: fc.nat(TENANTS - 1),
        n,
      }),
    },
  ),
  { minLength: 3, maxLength: 14 },
)

type Row = { status: 'pending' | 'running' | 'done' | 'failed' | 'left'; planned: number[] }
type ModelRollout = {
  readonly direction: 'up' | 'down'
  /** The migration to go to; -1 is before all of these. */
  readonly to?: number
  readonly undoes?: ModelRollout
  readonly rows: Map<number, Row>
  /** `tenant/migration` pairs that it applied. */
  readonly ever: Set<string>
  isDone: boolean
}

class Model {
  /** By tenant: migrations in the order in which they were applied. */
  readonly ledgers: number[][] = Array.from({ length: TENANTS }, () => [])
  /** By tenant: done by a process that died before it wrote the ledger. */
  readonly lost: (number | undefined)[] = Array(TENANTS).fill(undefined)
  /** By tenant: taken back by a process that died before it wrote the ledger. */
  readonly ghosts: (number | undefined)[] = Array(TENANTS).fill(undefined)
  /** By `tenant/migration`: the rollout that applied what is there. */
  readonly owners = new Map<string, ModelRollout>()
  /** The owner that a migration had before it was last taken back. */
  readonly earlierOwners = new Map<string, ModelRollout | undefined>()
  readonly blocked = new Set<string>()
  readonly held = new Set<string>()
  readonly rollouts: ModelRollout[] = []

  /** The tenants that are to lose or get something, and what, or `refused`. */
  plan(rollout: ModelRollout, chosen: readonly number[]): Map<number, number[] | 'refused'> {
    const plan = new Map<number, number[] | 'refused'>()
    for (const tenant of chosen) {
      const names = this.wanted(rollout, tenant)
      if (names === 'refused' || names.length > 0) plan.set(tenant, names)
    }
    return plan
  }

  wanted(rollout: ModelRollout, tenant: number): number[] | 'refused' {
    const ledger = this.ledgers[tenant] ?? []
    const { to = -1 } = rollout
    if (rollout.direction === 'up') {
      const isCutOff = this.rollouts.some(({ direction, rows }) => {
        const row = direction === 'down' ? rows.get(tenant) : undefined
        return row?.status === 'running' && row.planned.some((name) => ledger.includes(name))
      })
      if (isCutOff) return 'refused'
      if (ledger.some((name) => name > to)) return 'refused'
      return NAMES.map((_, index) => index).filter((i) => i <= to && !ledger.includes(i))
    }
    if (!rollout.undoes) return ledger.filter((name) => name > to).reverse()
    const going = ledger.filter((name) => this.owners.get(`${tenant}/${name}`) === rollout.undoes)
    const isUnder = (name: number) =>
      ledger.slice(ledger.indexOf(name) + 1).some((later) => later > name && !going.includes(later))
    if (going.some(isUnder)) return 'refused'
    const lost = this.lost[tenant]
    const mine = lost !== undefined && this.owners.get(`${tenant}/${lost}`) === rollout.undoes
    return [...(mine ? [lost] : []), ...going.reverse()]
  }

  /** The last rollout that wasn't taken back entirely. */
  last(): ModelRollout | undefined {
    return [...this.rollouts].reverse().find((rollout) => {
      if (rollout.direction === 'down') return false
      const held = [...rollout.ever].filter((pair) => this.owners.get(pair) === rollout)
      const cutOff = [...rollout.rows].some(
        ([tenant, { status }]) =>
          status === 'running' && held.some((pair) => pair.startsWith(`${tenant}/`)),
      )
      return held.length === rollout.ever.size || held.length > 0 || cutOff
    })
  }

  /** A new rollout takes over tenants that an earlier one was cut off in. */
  takeOver(rollout: ModelRollout, tenant: number): void {
    for (const earlier of this.rollouts) {
      const row = earlier.rows.get(tenant)
      if (earlier === rollout || row?.status !== 'running') continue
      row.status = 'left'
      const pair = `${tenant}/${this.lost[tenant]}`
      if (this.owners.get(pair) === earlier) {
        this.owners.delete(pair)
        earlier.ever.delete(pair)
      }
    }
  }

  /** Carries a plan out in tenant order; with `cut` it stops after the first tenant that is done. */
  run(rollout: ModelRollout, plan: ReadonlyMap<number, number[] | 'refused'>, cut: boolean): void {
    let isCut = false
    for (const [tenant, names] of plan) {
      if (names === 'refused') {
        rollout.rows.set(tenant, { status: 'failed', planned: [] })
        continue
      }
      const row = rollout.rows.get(tenant) ?? { status: 'pending', planned: names }
      if (row.planned.length === 0) row.planned = names
      rollout.rows.set(tenant, row)
    }
    for (const [tenant, names] of plan) {
      const row = rollout.rows.get(tenant)
      if (names === 'refused' || !row) continue
      if (isCut) row.status = 'pending'
      else {
        row.status = names.every((name) => this.step(rollout, tenant, name)) ? 'done' : 'failed'
        isCut = cut && row.status === 'done'
      }
    }
    const statuses = [...rollout.rows.values()].map(({ status }) => status)
    rollout.isDone = statuses.every((status) => status === 'done' || status === 'left')
  }

  step(rollout: ModelRollout, tenant: number, name: number): boolean {
    const pair = `${tenant}/${name}`
    const ledger = this.ledgers[tenant] ?? []
    const isLost = this.lost[tenant] === name
    if (rollout.direction === 'up') {
      if (!isLost && this.blocked.has(pair)) return false
      ledger.push(name)
      this.owners.set(pair, rollout)
      rollout.ever.add(pair)
    } else {
      if (this.held.has(pair)) return false
      if (ledger.includes(name)) ledger.splice(ledger.indexOf(name), 1)
      this.earlierOwners.set(pair, this.owners.get(pair))
      this.owners.delete(pair)
      if (this.ghosts[tenant] === name) this.ghosts[tenant] = undefined
    }
    if (isLost) this.lost[tenant] = undefined
    return true
  }
}

class Fleet {
  readonly model = new Model()
  readonly #ids = new Map<ModelRollout, string>()

  readonly ctx: Context
  readonly provisioner: Provisioner
  readonly slugs: readonly string[]
  /** Whether rollbacks also take the newest migration of tenants that are not in the plan. */
  readonly isSpoiled: boolean

  constructor(house: Pick<Fleet, 'ctx' | 'provisioner' | 'slugs' | 'isSpoiled'>) {
    this.ctx = house.ctx
    this.provisioner = house.provisioner
    this.slugs = house.slugs
    this.isSpoiled = house.isSpoiled
  }

  at = (tenant: number): string => quoteName(databaseOf(this.ctx, this.slugs[tenant] ?? ''))

  /** As if none of these migrations and no rollout had ever been. */
  async reset(): Promise<void> {
    const platform = quoteName(this.ctx.config.platformDatabase)
    const each = this.slugs.flatMap((_, tenant) => [
      ...NAMES.map((_, n) => `drop table if exists ${this.at(tenant)}.hold${n}`),
      ...NAMES.map((_, n) => `drop table if exists ${this.at(tenant)}.${tableOf(n)}`),
      ...NAMES.flatMap((_, n) => [
        `create table if not exists ${this.at(tenant)}.${gateOf(n)} (id int not null primary key) engine = InnoDB`,
        `delete from ${this.at(tenant)}.${gateOf(n)}`,
      ]),
      `delete from ${this.at(tenant)}.knex_migrations where name like '209912%'`,
    ])
    await this.provisioner.run(
      [...each, `delete from ${platform}.rollout_tenants`, `delete from ${platform}.rollouts`].join(
        '; ',
      ),
    )
  }

  /** By tenant: what its ledger and its schema have. */
  async actual(): Promise<{ ledger: number[]; schema: number[] }[]> {
    const rows = await this.provisioner.rows<{ names: string | null; made: string }>(
      this.slugs
        .map((slug, tenant) => {
          const filled = this.model.blocked.has(`${tenant}/${ROWS}`)
            ? 'null'
            : `(select 'm${ROWS}' from ${this.at(tenant)}.${gateOf(ROWS)} where id = 7)`
          return `select ${tenant} as tenant,
            (select group_concat(name order by id) from ${this.at(tenant)}.knex_migrations where name like '209912%') as names,
            concat_ws(',', (select group_concat(table_name) from information_schema.tables
              where table_schema = '${databaseOf(this.ctx, slug)}' and table_name regexp '^m[0-9]$'), ${filled}) as made`
        })
        .join(' union all '),
    )
    return rows.map(({ names, made }) => ({
      ledger: names ? names.split(',').map((name) => NAMES.indexOf(name as never)) : [],
      schema: made
        .split(',')
        .filter(Boolean)
        .map((name) => Number(name.slice(1)))
        .sort(),
    }))
  }

  async do(command: Command): Promise<void> {
    const before = structuredClone(this.model.ledgers)
    const plan = await this.#perform(command)
    if (this.isSpoiled && command.do === 'rollback') await this.#spoil(plan)
    const actual = await this.actual()
    const after = actual.map(({ ledger }) => ledger)
    for (const [tenant, had] of before.entries()) {
      const lost = had.filter((name) => !after[tenant]?.includes(name))
      const task = plan?.tasks.find(({ slug }) => slug === this.slugs[tenant])
      const planned = task?.steps.map(({ migration }) => NAMES.indexOf(migration.name as never))
      if (command.do !== 'crash')
        expect(planned ?? [], 'lost outside the plan').toEqual(expect.arrayContaining(lost))
    }
    const expected = this.model.ledgers.map((ledger, tenant) => ({
      ledger,
      schema: [...ledger, this.model.lost[tenant]]
        .filter((name) => name !== undefined && name !== this.model.ghosts[tenant])
        .sort(),
    }))
    expect(JSON.stringify(actual), JSON.stringify(command)).toBe(JSON.stringify(expected))
  }

  /** What `applied.slice(-1)` did: the newest migration of each tenant, whichever that is. */
  async #spoil(plan: RolloutPlan | undefined): Promise<void> {
    const planned = new Set(plan?.tasks.map(({ slug }) => slug))
    for (const [tenant, ledger] of this.model.ledgers.entries()) {
      const newest = ledger.at(-1)
      if (newest === undefined || planned.has(this.slugs[tenant] ?? '')) continue
      await this.provisioner.run(`delete from ${this.at(tenant)}.knex_migrations where name = ?`, [
        NAMES[newest],
      ])
    }
  }

  async #perform(command: Command): Promise<RolloutPlan | undefined> {
    switch (command.do) {
      case 'migrate':
      case 'rollback':
        return this.#start(command)
      case 'resume':
      case 'retry failed':
        return this.#again(command)
      default:
        return this.#interfere(command)
    }
  }

  async #start(
    command: Extract<Command, { do: 'migrate' | 'rollback' }>,
  ): Promise<RolloutPlan | undefined> {
    const { model } = this
    const { only, exclude = [] } = command.choice
    const slugsOf = (list: readonly number[]) => list.map((tenant) => this.slugs[tenant] ?? '')
    const chosen = this.slugs
      .map((_, tenant) => tenant)
      .filter((tenant) => (only ?? [tenant]).includes(tenant) && !exclude.includes(tenant))
    const wish = {
      ...(only ? { slugs: slugsOf(only) } : {}),
      ...(exclude.length > 0 ? { exclude: slugsOf(exclude) } : {}),
    }
    const start = (
      target: Pick<ModelRollout, 'direction' | 'to' | 'undoes'> | undefined,
      more: object,
    ) => {
      const rollout = { ...target, rows: new Map(), ever: new Set(), isDone: false } as ModelRollout
      const plan = target ? model.plan(rollout, chosen) : new Map()
      return this.#run({ kind: 'new', wish: { ...wish, ...more } }, rollout, plan, command.cut)
    }
    if (command.do === 'migrate')
      return start({ direction: 'up', to: command.to }, { to: NAMES[command.to] })
    if (command.by === 'to')
      return start({ direction: 'down', to: command.n }, { rollback: true, to: NAMES[command.n] })
    if (command.by === 'steps') {
      const had = [...new Set(model.ledgers.flat())].sort()
      // more steps would take the gates too
      const steps = Math.min(command.n + 1, had.length)
      if (steps === 0) return undefined
      return start({ direction: 'down', to: had.at(-steps - 1) ?? -1 }, { rollback: true, steps })
    }
    const ups = model.rollouts.filter(({ direction }) => direction === 'up')
    const undoes = command.by === 'last' ? model.last() : ups.at(command.n % (ups.length || 1))
    const id = undoes && this.#ids.get(undoes)
    return start(undoes && { direction: 'down', undoes }, {
      rollback: true,
      ...(command.by === 'rollout' && id ? { rollout: id } : {}),
    })
  }

  async #again(
    command: Extract<Command, { do: 'resume' | 'retry failed' }>,
  ): Promise<RolloutPlan | undefined> {
    const { model } = this
    const request: FleetRequest = { kind: command.do }
    const rollout = model.rollouts.at(-1)
    if (!rollout) {
      await expect(migrateFleet(this.ctx, request)).rejects.toBeInstanceOf(AppError)
      return undefined
    }
    const statuses = command.do === 'resume' ? ['pending', 'running'] : ['failed', 'running']
    const plan = new Map<number, number[] | 'refused'>()
    for (const [tenant, row] of [...rollout.rows].sort(([one], [other]) => one - other)) {
      if (!statuses.includes(row.status)) continue
      const ledger = model.ledgers[tenant] ?? []
      const open =
        row.planned.length === 0
          ? model.wanted(rollout, tenant)
          : row.planned.filter(
              (name) =>
                ledger.includes(name) === (rollout.direction === 'down') ||
                // of a crash: it is looked at again
                (rollout.direction === 'down' && model.lost[tenant] === name),
            )
      if (open !== 'refused' && open.length === 0) row.status = 'done'
      else plan.set(tenant, open)
    }
    return this.#run(request, rollout, plan, command.cut)
  }

  async #run(
    request: FleetRequest,
    rollout: ModelRollout,
    plan: ReadonlyMap<number, number[] | 'refused'>,
    cut: boolean,
  ): Promise<RolloutPlan> {
    const { model } = this
    const stopping = new AbortController()
    const result = await migrateFleet(this.ctx, request, {
      terms: { canary: 0, concurrency: 1, maxFailures: TENANTS },
      signal: stopping.signal,
      report: ({ type }) => cut && type === 'done' && stopping.abort(),
    })
    if (request.kind === 'new') {
      if (plan.size === 0) return result.plan
      for (const [tenant, names] of plan) if (names !== 'refused') model.takeOver(rollout, tenant)
      model.rollouts.push(rollout)
      this.#ids.set(rollout, result.outcome?.rolloutId ?? '')
    }
    model.run(rollout, plan, cut)
    return result.plan
  }

  /** What goes on around rollouts: obstacles, and processes that die. */
  async #interfere({
    do: what,
    tenant,
    n,
  }: Extract<Command, { tenant: number }>): Promise<undefined> {
    const { model } = this
    const pair = `${tenant}/${n}`
    const at = this.at(tenant)
    const isThere =
      model.ledgers[tenant]?.includes(n) || model.lost[tenant] === n || model.ghosts[tenant] === n
    if (what === 'block' && !isThere && !model.blocked.has(pair)) {
      await this.provisioner.run(`drop table ${at}.${gateOf(n)}`)
      model.blocked.add(pair)
    } else if (what === 'unblock' && model.blocked.delete(pair)) {
      await this.provisioner.run(
        `create table ${at}.${gateOf(n)} (id int not null primary key) engine = InnoDB`,
      )
    } else if (
      what === 'hold' &&
      isThere &&
      model.lost[tenant] === undefined &&
      model.ghosts[tenant] === undefined &&
      !model.held.has(pair)
    ) {
      const parent = n === ROWS ? gateOf(n) : tableOf(n)
      await this.provisioner.run(
        `create table ${at}.hold${n} (id int, constraint hold${n}_of foreign key (id) references ${at}.${parent} (id)) engine = InnoDB${n === ROWS ? `; insert into ${at}.hold${n} values (7)` : ''}`,
      )
      model.held.add(pair)
    } else if (what === 'release' && model.held.delete(pair)) {
      await this.provisioner.run(`drop table ${at}.hold${n}`)
    } else if (what === 'crash') await this.#crash(tenant)
    return undefined
  }

  /** As if the process of the last rollout had died before it recorded its result in this tenant. */
  async #crash(tenant: number): Promise<void> {
    const { model } = this
    const rollout = model.rollouts.at(-1)
    const row = rollout?.rows.get(tenant)
    if (!rollout || row?.status !== 'done' || row.planned.length === 0) return
    const id = this.#ids.get(rollout)
    const slug = this.slugs[tenant] ?? ''
    await this.ctx.platform('rollouts').where({ id }).update({ status: 'running' })
    await this.ctx
      .platform('rollout_tenants')
      .where({ rollout_id: id })
      .whereIn('tenant_id', this.ctx.platform('tenants').select('id').where({ slug }))
      .update({ status: 'running', applied: null })
    row.status = 'running'
    rollout.isDone = false
    const last = row.planned.at(-1) ?? 0
    const isHeld = [...model.held].some((pair) => pair.startsWith(`${tenant}/`))
    if (last === ROWS || isHeld || model.lost[tenant] !== undefined) return
    const ledger = model.ledgers[tenant] ?? []
    const at = this.at(tenant)
    if (rollout.direction === 'up' && ledger.at(-1) === last) {
      await this.provisioner.run(`delete from ${at}.knex_migrations where name = ?`, [NAMES[last]])
      ledger.pop()
      model.lost[tenant] = last
    } else if (rollout.direction === 'down' && !ledger.includes(last)) {
      await this.provisioner.run(`insert into ${at}.knex_migrations (name, batch) values (?, 1)`, [
        NAMES[last],
      ])
      ledger.push(last)
      model.ghosts[tenant] = last
      const owner = model.earlierOwners.get(`${tenant}/${last}`)
      if (owner) model.owners.set(`${tenant}/${last}`, owner)
    }
  }
}

const test = house
  .extend('slugs', { scope: 'file' }, async ({ ctx }, { onCleanup }) => {
    onCleanup(addMigrations([...GATES, ...MIGRATIONS]))
    return provisionFleet(ctx, TENANTS)
  })
  .extend(
    'agree',
    async ({ ctx, provisioner, slugs }) =>
      (runs: number, isSpoiled = false) =>
        fc.check(
          fc.asyncProperty(commands, async (list) => {
            const fleet = new Fleet({ ctx, provisioner, slugs, isSpoiled })
            await fleet.reset()
            for (const command of list) await fleet.do(command)
          }),
          { seed, numRuns: runs, endOnFailure: isSpoiled },
        ),
  )

test('no sequence of migrations and rollbacks takes back more than its plans', {
  timeout: volume(600_000, 7_200_000),
}, async ({ agree }) => {
  const outcome = await agree(volume(25, 500))

  expect(
    outcome.failed && `${fc.defaultReportMessage(outcome)}\n${outcome.errorInstance}`,
    `VALIDONX_TEST_SEED=${seed}`,
  ).toBe(false)
})

test('a rollback of the newest migration of each tenant would be seen', {
  timeout: 600_000,
}, async ({ agree }) => {
  const outcome = await agree(100, true)

  expect([outcome.failed, String(outcome.errorInstance)], `VALIDONX_TEST_SEED=${seed}`).toEqual([
    true,
    expect.stringContaining('lost outside the plan'),
  ])
})
