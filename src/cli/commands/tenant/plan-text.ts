import { nameBefore, type RolloutPlan } from '../../../core/fleet/plan-rollout.js'
import { type Rollout, shortId } from '../../../core/fleet/rollout.js'
import { reasonOf } from '../../../core/fleet/run-rollout.js'
import { plural } from '../../../core/plural.js'
import { printable } from '../../../core/printable.js'
import { formatTable } from '../../terminal.js'

const SHOWN = 10

/** A rollout's target, for a table. */
export const targetText = ({ direction, target = '', undoes, recordsApplied }: Rollout): string => {
  if (direction === 'up') return target
  if (undoes !== undefined) return `undo of ${shortId(undoes)}`
  return recordsApplied ? `back to ${target}` : `${target} (rollback)`
}

/** A plan as a person reads it, before anything is done. */
export function planText(plan: RolloutPlan): string {
  const { direction, tasks, migrations, refused } = plan
  if (tasks.length === 0) return [nothingText(plan), ...refusedLines(plan)].join('\n')
  const table = formatTable(
    ['migration', 'kind', 'tenants'],
    migrations.map(({ name, kind, tenants }) => [name, kind, String(tenants)]),
  )
  if (direction === 'down')
    return [
      `${purposeOf(plan)} This takes back, with the data in it:`,
      '',
      table,
      '',
      ...leftAloneLines(plan),
      ...refusedLines(plan),
    ]
      .join('\n')
      .trimEnd()
  const all = tasks.length + plan.leftAlone.length + refused.length
  return [
    `${tasks.length} of ${plural(all, 'tenant')} ${tasks.length === 1 ? 'is' : 'are'} not at ${plan.target}.`,
    '',
    table,
    ...refusedLines(plan),
  ].join('\n')
}

/** Why a plan has nothing to do. */
export function nothingText({
  direction,
  target,
  undoes,
  leftAlone,
  refused,
}: RolloutPlan): string {
  if (direction === 'up') {
    const count = leftAlone.length
    if (count === 0)
      return refused.length > 0 ? 'Nothing can be done.' : 'There is no tenant to migrate.'
    return `Nothing is pending: ${plural(count, 'tenant')} ${count === 1 ? 'is' : 'are'} at ${target}.`
  }
  if (undoes)
    return `Nothing to take back: rollout ${shortId(undoes.id)} applied nothing that is left there. To undo an earlier one: validonx tenant migrate --rollback --rollout <id>`
  return target === undefined
    ? 'Nothing to take back: there is no rollout that was not taken back already.'
    : `Nothing to take back: ${leftAlone.length === 1 ? 'the tenant has' : 'the tenants have'} no migration after ${target}.`
}

function purposeOf({ undoes, target }: RolloutPlan): string {
  if (!undoes) return `Goes back to ${target}.`
  const started = undoes.startedAt.toISOString().slice(0, 16).replace('T', ' ')
  return `Undoes rollout ${shortId(undoes.id)} of ${started} by ${undoes.startedBy}.`
}

function leftAloneLines({ leftAlone, migrations }: RolloutPlan): string[] {
  const keeping = leftAlone.filter(({ keeps }) => keeps.length > 0)
  const without = leftAlone.filter(({ keeps }) => keeps.length === 0)
  const lines: string[] = []
  if (without.length > 0) lines.push(`Skipped (never had it): ${namesOf(without)}`)
  if (keeping.length > 0)
    lines.push(
      `Skipped (got it another way): ${namesOf(keeping)}`,
      `To take it back there too: validonx tenant migrate --rollback --to ${nameBefore(migrations[0]?.name ?? '')}`,
    )
  return lines
}

const refusedLines = ({ refused }: RolloutPlan): string[] =>
  refused.map(
    ({ tenant, error }) =>
      `${tenant.slug} cannot be migrated: ${printable(reasonOf(error))} [${error.code}]`,
  )

const namesOf = (tenants: RolloutPlan['leftAlone']): string => {
  const names = tenants.slice(0, SHOWN).map(({ tenant }) => tenant.slug)
  const more = tenants.length - names.length
  return `${names.join(', ')}${more > 0 ? ` and ${more} more (--json lists all)` : ''}`
}

/** The plan as an object, for `--json`. */
export const planObject = (
  plan: RolloutPlan,
  sql: ReadonlyMap<string, readonly string[]> = new Map(),
) => ({
  direction: plan.direction,
  target: plan.target ?? null,
  undoes: plan.undoes?.id ?? null,
  pending: plan.tasks.length,
  up_to_date: plan.leftAlone.length,
  left_alone: plan.leftAlone.map(({ tenant, keeps }) => ({ tenant: tenant.slug, keeps })),
  refused: plan.refused.map(({ tenant, error }) => ({
    tenant: tenant.slug,
    code: error.code,
    error: reasonOf(error),
  })),
  migrations: plan.migrations.map((migration) => ({
    ...migration,
    sql: sql.get(migration.name) ?? [],
  })),
  tenants: plan.tasks.map(({ slug, steps }) => ({
    tenant: slug,
    migrations: steps.map(({ migration }) => migration.name),
  })),
})
