import { z } from 'zod'
import type { Migration } from '../../../migrations/migration.js'
import { tenantMigrations } from '../../../migrations/tenant/index.js'
import { getPlanByCode } from '../billing/plan-store.js'
import type { Context } from '../context.js'
import { AppError, asAppError } from '../errors.js'
import { parse } from '../parse.js'
import { getServerById, getServerByName } from '../servers/database-server-store.js'
import { TENANT_STATUSES, type TenantStatus } from '../tenants/tenant.js'
import { type FleetTenant, findUnknownSlugs, listFleet } from './fleet-store.js'
import { isLedger, type Ledger, ledgerError, readLedgers } from './ledger.js'
import type { Step, TenantTask } from './migrate-tenant.js'
import { type Direction, kindOf, type MigrationKind, recordSql } from './recorded-sql.js'
import type { Rollout, RolloutTenant } from './rollout.js'
import { findUndoable, type Undoable } from './rollout-applied.js'
import { type CutOff, listCutOffs } from './rollout-store.js'

/** A tenant that is being provisioned gets the newest schema anyway, so it isn't migrated. */
const MIGRATED_STATUSES: readonly TenantStatus[] = ['active', 'suspended']
/** Tenants that may have a database. */
const LIVE_STATUSES: readonly TenantStatus[] = TENANT_STATUSES.filter(
  (status) => status !== 'archived',
)

export const RolloutWishInput = z
  .strictObject({
    slugs: z.array(z.string()).min(1).optional(),
    exclude: z.array(z.string()).optional(),
    plans: z.array(z.string()).min(1).optional(),
    servers: z.array(z.string()).min(1).optional(),
    statuses: z
      .array(z.enum(TENANT_STATUSES, `must be among ${TENANT_STATUSES.join(', ')}`))
      .min(1)
      .optional(),
    /** The newest migration that tenants have afterwards. */
    to: z.string().optional(),
    /** Take migrations back: those of the last rollout, unless `rollout`, `to` or `steps` says otherwise. */
    rollback: z.literal(true).optional(),
    /** The id of the rollout to undo, or the end of it. */
    rollout: z.string().optional(),
    /** How many of the newest migrations of the fleet to take back. */
    steps: z.number().int('must be a whole number').min(1, 'must be at least 1').optional(),
  })
  .refine(({ rollback, rollout, steps }) => rollback || (!rollout && !steps), {
    path: ['rollback'],
    message: 'must be set to undo a rollout or to go back by steps',
  })
  .refine(({ to, rollout, steps }) => [to, rollout, steps].filter(Boolean).length <= 1, {
    path: ['rollback'],
    message: 'takes one of to, rollout and steps',
  })

export type RolloutWish = z.input<typeof RolloutWishInput>

export type RolloutPlan = {
  readonly direction: Direction
  /** The newest migration that tenants have afterwards; undefined if a rollout is undone. */
  readonly target: string | undefined
  /** The rollout that is undone. */
  readonly undoes: Rollout | undefined
  readonly tasks: readonly TenantTask[]
  /** Tenants that have nothing to do. */
  readonly leftAlone: readonly LeftAlone[]
  /** Tenants that cannot be migrated as they are. */
  readonly refused: readonly { readonly tenant: FleetTenant; readonly error: AppError }[]
  /** Each migration that some tenant needs, in order, and by how many. */
  readonly migrations: readonly {
    readonly name: string
    readonly kind: MigrationKind
    readonly tenants: number
  }[]
}

export type LeftAlone = {
  readonly tenant: FleetTenant
  /** The names in its ledger; empty if that can't be read. */
  readonly ledger: readonly string[]
  /** Migrations of the plan that a rollback leaves there, because the rollout didn't apply them. */
  readonly keeps: readonly string[]
}

/**
 * Plans a rollout from the ledgers of all tenants that the input names, and changes nothing. A rollback
 * takes back migrations by name, the same in every tenant that has them: never "the newest ones" of
 * each tenant, which may be older ones where a rollout failed.
 *
 * @throws TENANT.NOT_FOUND, PLAN.NOT_FOUND, SERVER.NOT_FOUND, MIGRATION.NOT_FOUND, VALIDATION.FAILED;
 *   for a rollback also MIGRATION.IRREVERSIBLE, ROLLOUT.NOT_FOUND, ROLLOUT.IS_ROLLBACK,
 *   ROLLOUT.NOT_RECORDED, ROLLOUT.STEPS_TOO_MANY
 */
export async function planRollout(ctx: Context, input: RolloutWish): Promise<RolloutPlan> {
  const wish = parse(RolloutWishInput, input)
  return wish.rollback ? planRollback(ctx, wish) : planForward(ctx, wish)
}

async function planForward(ctx: Context, wish: Wish): Promise<RolloutPlan> {
  const target = wish.to ?? tenantMigrations.at(-1)?.name ?? ''
  migrationsUpTo(target)
  const tenants = await chosen(ctx, wish, MIGRATED_STATUSES)
  return assemble(ctx, tenants, await readAllLedgers(ctx, tenants), goingForwardTo(target))
}

async function planRollback(ctx: Context, wish: Wish): Promise<RolloutPlan> {
  // of the whole fleet: what the last rollout or the newest migration is, a choice of tenants doesn't change
  const fleet = await listFleet(ctx.platform, { statuses: LIVE_STATUSES })
  const ledgers = await readAllLedgers(ctx, fleet)
  if (wish.to === undefined && wish.steps === undefined) {
    const undoable = await findUndoable(ctx.platform, ledgers, wish.rollout)
    const part = new Set(undoable?.applied.keys())
    const tenants = (await chosen(ctx, wish, LIVE_STATUSES)).filter(
      ({ id, status }) => part.has(id) || wish.slugs || MIGRATED_STATUSES.includes(status),
    )
    return assemble(ctx, tenants, ledgers, undoing(undoable))
  }
  if (wish.to !== undefined) migrationsUpTo(wish.to)
  const target = wish.to ?? floorOf(ledgers, wish.steps ?? 0)
  const tenants = await chosen(ctx, wish, MIGRATED_STATUSES)
  return assemble(ctx, tenants, ledgers, goingBackTo(target))
}

/** The newest migration that the fleet has after this many steps back. @throws ROLLOUT.STEPS_TOO_MANY */
function floorOf(ledgers: ReadonlyMap<string, Ledger | AppError>, steps: number): string {
  const had = new Set<string>()
  for (const ledger of ledgers.values())
    if (!(ledger instanceof AppError)) for (const name of ledger.applied) had.add(name)
  const order = tenantMigrations.map(({ name }) => name).filter((name) => had.has(name))
  const floor = order.at(-steps - 1)
  if (floor === undefined) throw new AppError('ROLLOUT.STEPS_TOO_MANY', steps, order.length)
  return floor
}

const goingForwardTo = (target: string): Rules => ({
  direction: 'up',
  target,
  wanted: ({ applied }, { slug }) => {
    if (applied.some((name) => isAfter(name, target)))
      throw new AppError('MIGRATION.NO_WAY_BACK', slug, target)
    const names = migrationsUpTo(target).map(({ name }) => name)
    return names.filter((name) => !applied.includes(name))
  },
})

const goingBackTo = (target: string): Rules => ({
  direction: 'down',
  target,
  wanted: ({ applied }) => {
    migrationsUpTo(target)
    return applied.filter((name) => isAfter(name, target)).reverse()
  },
})

const undoing = (undoable: Undoable | undefined): Rules => ({
  direction: 'down',
  undoes: undoable?.rollout,
  concerns: ({ id }) => undoable?.applied.has(id) === true,
  wanted: ({ applied }, { id, slug }, isSuspect) => {
    const names = undoable?.applied.get(id) ?? new Set()
    const there = applied.filter((name) => names.has(name)).reverse()
    assertOnTop(slug, applied, there)
    // a statement that was cut off may be done without its row in the ledger: then the schema decides
    const cutOff = isSuspect ? [...names].filter((name) => !applied.includes(name)) : []
    return [...cutOff, ...there]
  },
})

/** @throws MIGRATION.NOT_ON_TOP if a migration that stays was made for one that is to go */
function assertOnTop(slug: string, applied: readonly string[], going: readonly string[]): void {
  for (const name of going) {
    const above = applied
      .slice(applied.indexOf(name) + 1)
      .filter((later) => isAfter(later, name) && !going.includes(later))
    if (above.length > 0)
      throw new AppError('MIGRATION.NOT_ON_TOP', slug, name, above, nameBefore(name) ?? '')
  }
}

/**
 * Plans what is left to do of an earlier rollout for some of its tenants: what was planned for each
 * then, as far as its ledger says that it is not done.
 */
export async function planAgain(
  ctx: Context,
  { direction, target, undoes }: Rollout,
  left: readonly RolloutTenant[],
): Promise<RolloutPlan> {
  const records = new Map(left.map((tenant) => [tenant.slug, tenant]))
  const tenants = await listFleet(ctx.platform, {
    slugs: left.map(({ slug }) => slug),
    statuses: TENANT_STATUSES,
  })
  const ledgers = await readAllLedgers(ctx, tenants)
  const afresh =
    direction === 'up'
      ? goingForwardTo(target ?? '')
      : undoes === undefined
        ? goingBackTo(target ?? '')
        : undoing(await findUndoable(ctx.platform, ledgers, undoes))
  return assemble(ctx, tenants, ledgers, {
    direction,
    target,
    undoes: afresh.undoes,
    wanted: (ledger, tenant, isSuspect) => {
      const record = records.get(tenant.slug)
      // it was refused then, so it has no plan of its own yet
      if (!record || record.planned.length === 0) return afresh.wanted(ledger, tenant, isSuspect)
      const had = new Set(ledger.applied)
      if (direction === 'up') return record.planned.filter((name) => !had.has(name))
      const done = new Set(record.applied)
      // a statement that was cut off may be done without its row in the ledger
      return record.planned.filter((name) => had.has(name) || (isSuspect && !done.has(name)))
    },
  })
}

/** The statements of each migration in a plan, by its name. */
export async function sqlOf(plan: RolloutPlan): Promise<Map<string, readonly string[]>> {
  const statements = new Map<string, readonly string[]>()
  for (const { name } of plan.migrations) {
    const migration = tenantMigrations.find((each) => each.name === name)
    if (migration) statements.set(name, await recordSql(migration, plan.direction))
  }
  return statements
}

type Wish = z.output<typeof RolloutWishInput>

async function chosen(
  ctx: Context,
  wish: Wish,
  statuses: readonly TenantStatus[],
): Promise<FleetTenant[]> {
  const { platform } = ctx
  const named = [...(wish.slugs ?? []), ...(wish.exclude ?? [])]
  const [unknown] = await findUnknownSlugs(platform, named)
  if (unknown !== undefined) throw new AppError('TENANT.NOT_FOUND', unknown)
  for (const code of wish.plans ?? []) await getPlanByCode(platform, code)
  for (const name of wish.servers ?? []) await getServerByName(platform, name)
  return listFleet(platform, { ...wish, statuses: wish.statuses ?? statuses })
}

/** @throws MIGRATION.NOT_FOUND */
function migrationsUpTo(target: string): readonly Migration[] {
  const index = tenantMigrations.findIndex(({ name }) => name === target)
  if (index < 0)
    throw new AppError('MIGRATION.NOT_FOUND', target, tenantMigrations.at(-1)?.name ?? '')
  return tenantMigrations.slice(0, index + 1)
}

const isAfter = (name: string, target: string): boolean => {
  const order = tenantMigrations.map((migration) => migration.name)
  return order.indexOf(name) > order.indexOf(target)
}

/** The migration before this one in the list of this version. */
export const nameBefore = (name: string): string | undefined =>
  tenantMigrations[tenantMigrations.findIndex((migration) => migration.name === name) - 1]?.name

/**
 * Every tenant has the same steps, so each is made once.
 *
 * @throws MIGRATION.IRREVERSIBLE if one of them has no way back
 */
function stepMaker(direction: Direction) {
  const steps = new Map<string, Promise<Step>>()
  const lists = new Map<string, Promise<readonly Step[]>>()
  const stepOf = (name: string): Promise<Step> => {
    const step = steps.get(name) ?? makeStep(name, direction)
    steps.set(name, step)
    return step
  }
  return (names: readonly string[]): Promise<readonly Step[]> => {
    const key = names.join('\n')
    const list = lists.get(key) ?? Promise.all(names.map(stepOf))
    lists.set(key, list)
    return list
  }
}

async function makeStep(name: string, direction: Direction): Promise<Step> {
  const migration = tenantMigrations.find((each) => each.name === name) as Migration
  if (direction === 'up')
    return { migration, direction, kind: kindOf(await recordSql(migration, direction)) }
  let statements: readonly string[] = []
  try {
    statements = await recordSql(migration, direction)
  } catch (error) {
    throw new AppError('MIGRATION.IRREVERSIBLE', name).because(error)
  }
  if (statements.length === 0) throw new AppError('MIGRATION.IRREVERSIBLE', name)
  return { migration, direction, kind: kindOf(statements) }
}

type Rules = {
  readonly direction: Direction
  readonly target?: string | undefined
  readonly undoes?: Rollout | undefined
  /** Tenants that this is about; the others are left alone, whatever their ledgers say. */
  readonly concerns?: (tenant: FleetTenant) => boolean
  /** @throws AppError if the tenant cannot go there */
  readonly wanted: (ledger: Ledger, tenant: FleetTenant, isSuspect: boolean) => readonly string[]
}

async function assemble(
  ctx: Context,
  tenants: readonly FleetTenant[],
  ledgers: ReadonlyMap<string, Ledger | AppError>,
  { direction, target, undoes, concerns = () => true, wanted }: Rules,
): Promise<RolloutPlan> {
  const cutOffs = await listCutOffs(ctx.platform)
  const stepsOf = stepMaker(direction)
  const tasks: TenantTask[] = []
  const idle: FleetTenant[] = []
  const refused: { tenant: FleetTenant; error: AppError }[] = []
  for (const tenant of tenants) {
    if (!concerns(tenant)) {
      idle.push(tenant)
      continue
    }
    const suspicions = cutOffs.get(tenant.id) ?? []
    const isSuspect = suspicions.length > 0
    let ledger: Ledger
    let names: readonly string[]
    try {
      ledger = trusted(tenant, ledgers.get(tenant.id))
      if (direction === 'up') assertNoRollbackCutOff(tenant, ledger, suspicions)
      names = wanted(ledger, tenant, isSuspect)
    } catch (thrown) {
      refused.push({ tenant, error: asAppError(thrown) })
      continue
    }
    if (names.length === 0) idle.push(tenant)
    else
      tasks.push({
        tenantId: tenant.id,
        slug: tenant.slug,
        database: tenant.database,
        serverId: tenant.serverId,
        steps: await stepsOf(names),
        ledger: ledger.applied,
        ledgerBatch: ledger.batch + 1,
        isSuspect,
      })
  }
  const migrations = countMigrations(tasks)
  const leftAlone = idle.map((tenant): LeftAlone => {
    const found = ledgers.get(tenant.id)
    const ledger = found === undefined || found instanceof AppError ? [] : found.applied
    const taken = direction === 'down' ? migrations.map(({ name }) => name) : []
    return { tenant, ledger, keeps: taken.filter((name) => ledger.includes(name)) }
  })
  return { direction, target, undoes, tasks, leftAlone, refused, migrations }
}

/**
 * A rollback that was cut off may have taken a migration back and left its row in the ledger: the ledger
 * can't be trusted before the rollback is finished.
 *
 * @throws MIGRATION.ROLLBACK_CUT_OFF
 */
function assertNoRollbackCutOff(
  { slug }: FleetTenant,
  { applied }: Ledger,
  cutOffs: readonly CutOff[],
): void {
  const planned = cutOffs.flatMap((each) => (each.direction === 'down' ? each.planned : []))
  const open = planned.filter((name) => applied.includes(name))
  const oldest = open.at(-1)
  if (oldest !== undefined)
    throw new AppError('MIGRATION.ROLLBACK_CUT_OFF', slug, open, nameBefore(oldest) ?? '')
}

/** @throws AppError if the database is not the tenant's, or ahead of this version */
function trusted(tenant: FleetTenant, ledger: Ledger | AppError | undefined): Ledger {
  if (ledger === undefined || ledger instanceof AppError)
    throw ledger ?? new AppError('TENANT.DATABASE_MISSING', tenant.slug)
  if (ledger.ownerId !== tenant.id)
    throw new AppError('PROVISIONING.DATABASE_TAKEN', tenant.database)
  const known = new Set(tenantMigrations.map(({ name }) => name))
  const strange = ledger.applied.filter((name) => !known.has(name))
  if (strange.length > 0) throw new AppError('MIGRATION.AHEAD', tenant.slug, strange)
  return ledger
}

export function groupByServer<T extends { readonly serverId: string }>(
  items: readonly T[],
): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(item.serverId)
    if (group) group.push(item)
    else groups.set(item.serverId, [item])
  }
  return groups
}

/** Reads ledgers by tenant id, all servers at once. One that cannot be asked fails only its own tenants. */
async function readAllLedgers(
  ctx: Context,
  tenants: readonly FleetTenant[],
): Promise<Map<string, Ledger | AppError>> {
  const found = new Map<string, Ledger | AppError>()
  await Promise.all(
    [...groupByServer(tenants)].map(async ([serverId, own]) => {
      try {
        const provisioner = await ctx.provisioner(await getServerById(ctx.platform, serverId))
        const ledgers = await readLedgers(
          provisioner,
          own.map(({ database }) => database),
        )
        for (const { id, slug, database } of own) {
          const ledger = ledgers.get(database)
          if (ledger) found.set(id, isLedger(ledger) ? ledger : ledgerError(slug, ledger))
        }
      } catch (thrown) {
        for (const { id } of own) found.set(id, asAppError(thrown))
      }
    }),
  )
  return found
}

function countMigrations(tasks: readonly TenantTask[]): RolloutPlan['migrations'] {
  const counts = new Map<readonly Step[], number>()
  for (const { steps } of tasks) counts.set(steps, (counts.get(steps) ?? 0) + 1)
  const byName = new Map<string, { name: string; kind: MigrationKind; tenants: number }>()
  for (const [steps, count] of counts) {
    for (const { migration, kind } of steps) {
      const entry = byName.get(migration.name) ?? { name: migration.name, kind, tenants: 0 }
      entry.tenants += count
      byName.set(migration.name, entry)
    }
  }
  const order = tenantMigrations.map(({ name }) => name)
  return [...byName.values()].sort(
    (one, other) => order.indexOf(one.name) - order.indexOf(other.name),
  )
}
