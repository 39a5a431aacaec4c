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
import { type Ledger, readLedgers } from './ledger.js'
import type { Step, TenantTask } from './migrate-tenant.js'
import { type Direction, kindOf, type MigrationKind, recordSql } from './recorded-sql.js'
import type { RolloutTenant } from './rollout.js'
import { listSuspects } from './rollout-store.js'

/** Those whose databases are complete. One that is being provisioned gets the newest schema by itself. */
const MIGRATED_STATUSES: readonly TenantStatus[] = ['active', 'suspended']

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
    /** The last migration to do. */
    to: z.string().optional(),
    /** How many migrations to take back, newest first. */
    rollback: z.number().int('must be a whole number').min(1, 'must be at least 1').optional(),
  })
  .refine(({ to, rollback }) => to === undefined || rollback === undefined, {
    path: ['to'],
    message: 'does not go with a rollback',
  })

export type RolloutWish = z.input<typeof RolloutWishInput>

export type RolloutPlan = {
  readonly direction: Direction
  readonly target: string
  readonly tasks: readonly TenantTask[]
  /** Tenants that have nothing to do. */
  readonly upToDate: number
  /** Tenants that cannot be migrated as they are. */
  readonly refused: readonly { readonly tenant: FleetTenant; readonly error: AppError }[]
  /** Each migration that some tenant needs, in order, and by how many. */
  readonly migrations: readonly {
    readonly name: string
    readonly kind: MigrationKind
    readonly tenants: number
  }[]
}

/**
 * What a rollout would do: reads the ledgers of all tenants that the wish names, a few hundred in one
 * statement, and changes nothing.
 *
 * @throws TENANT.NOT_FOUND, PLAN.NOT_FOUND, SERVER.NOT_FOUND, MIGRATION.NOT_FOUND, VALIDATION.FAILED
 */
export async function planRollout(ctx: Context, input: RolloutWish): Promise<RolloutPlan> {
  const wish = parse(RolloutWishInput, input)
  const tenants = await chosen(ctx, wish)
  const direction: Direction = wish.rollback === undefined ? 'up' : 'down'
  const target = wish.to ?? tenantMigrations.at(-1)?.name ?? ''
  const goal = migrationsUpTo(target)
  const stepsOf = await stepMaker()
  return assemble(
    ctx,
    tenants,
    direction,
    wish.rollback === undefined ? target : `-${wish.rollback}`,
    {
      wanted: ({ applied }, tenant) => {
        if (wish.rollback !== undefined) return applied.slice(-wish.rollback).reverse()
        const had = new Set(applied)
        if (wish.to !== undefined && applied.some((name) => isAfter(name, wish.to as string)))
          throw new AppError('MIGRATION.NO_WAY_BACK', tenant.slug, wish.to)
        return goal.filter(({ name }) => !had.has(name)).map(({ name }) => name)
      },
      stepsOf: (names) => stepsOf(names, direction),
    },
  )
}

/**
 * What is left to do of an earlier rollout for some of its tenants: what was planned for each then, as far
 * as its ledger says that it is not done.
 */
export async function planAgain(
  ctx: Context,
  direction: Direction,
  target: string,
  left: readonly RolloutTenant[],
): Promise<RolloutPlan> {
  const planned = new Map(left.map((tenant) => [tenant.slug, tenant.planned]))
  const tenants = await listFleet(ctx.platform, {
    slugs: left.map(({ slug }) => slug),
    statuses: TENANT_STATUSES,
  })
  const stepsOf = await stepMaker()
  return assemble(ctx, tenants, direction, target, {
    wanted: ({ applied }, { slug }) => {
      const had = new Set(applied)
      const names = planned.get(slug) ?? []
      // one that was refused then had no plan of its own
      if (names.length === 0 && direction === 'down') return applied.slice(Number(target)).reverse()
      const all = names.length === 0 ? migrationsUpTo(target).map(({ name }) => name) : names
      return all.filter((name) => had.has(name) === (direction === 'down'))
    },
    stepsOf: (names) => stepsOf(names, direction),
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

async function chosen(ctx: Context, wish: Wish): Promise<FleetTenant[]> {
  const { platform } = ctx
  const named = [...(wish.slugs ?? []), ...(wish.exclude ?? [])]
  const [unknown] = await findUnknownSlugs(platform, named)
  if (unknown !== undefined) throw new AppError('TENANT.NOT_FOUND', unknown)
  for (const code of wish.plans ?? []) await getPlanByCode(platform, code)
  for (const name of wish.servers ?? []) await getServerByName(platform, name)
  return listFleet(platform, { ...wish, statuses: wish.statuses ?? MIGRATED_STATUSES })
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

/** Every tenant has the same steps, so each is made once. */
async function stepMaker() {
  const byName = new Map(tenantMigrations.map((migration) => [migration.name, migration]))
  const kinds = new Map<string, MigrationKind>()
  for (const migration of tenantMigrations)
    kinds.set(migration.name, kindOf(await recordSql(migration, 'up')))
  const known = new Map<string, readonly Step[]>()
  return (names: readonly string[], direction: Direction): readonly Step[] => {
    const key = names.join('\n')
    const steps =
      known.get(key) ??
      names.map((name) => ({
        migration: byName.get(name) as Migration,
        direction,
        kind: kinds.get(name) as MigrationKind,
      }))
    known.set(key, steps)
    return steps
  }
}

type Rules = {
  /** @throws AppError where the tenant cannot go there */
  readonly wanted: (ledger: Ledger, tenant: FleetTenant) => readonly string[]
  readonly stepsOf: (names: readonly string[]) => readonly Step[]
}

async function assemble(
  ctx: Context,
  tenants: readonly FleetTenant[],
  direction: Direction,
  target: string,
  { wanted, stepsOf }: Rules,
): Promise<RolloutPlan> {
  const suspects = await listSuspects(ctx.platform)
  const ledgers = await readAllLedgers(ctx, tenants)
  const tasks: TenantTask[] = []
  const refused: { tenant: FleetTenant; error: AppError }[] = []
  let upToDate = 0
  for (const tenant of tenants) {
    try {
      const ledger = trusted(tenant, ledgers.get(tenant.id))
      const names = wanted(ledger, tenant)
      if (names.length === 0) {
        upToDate += 1
        continue
      }
      tasks.push({
        tenantId: tenant.id,
        slug: tenant.slug,
        database: tenant.database,
        serverId: tenant.serverId,
        steps: stepsOf(names),
        ledgerBatch: ledger.batch + 1,
        isSuspect: suspects.has(tenant.id),
      })
    } catch (thrown) {
      refused.push({ tenant, error: asAppError(thrown) })
    }
  }
  return { direction, target, tasks, upToDate, refused, migrations: countMigrations(tasks) }
}

/** @throws AppError where the database is not the tenant's, or ahead of this version */
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

/** By tenant. Servers are asked side by side; one that cannot be asked fails its own tenants alone. */
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
        for (const { id, database } of own) {
          const ledger = ledgers.get(database)
          if (ledger) found.set(id, ledger)
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
