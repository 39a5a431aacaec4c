import type { EntitlementType, EntitlementValue, PlanEntitlement } from '../billing/plan.js'
import type { TenantDb } from '../db/connect.js'
import { affectedBy, type Executor, rowsOf } from '../db/statements.js'
import { newId } from '../ids.js'
import { fromJsonColumn } from '../parse.js'

export type Entitlement = PlanEntitlement & { readonly source: 'plan' | 'override' }

type Row = { code: string; type: EntitlementType; value: unknown; source: Entitlement['source'] }

export async function listEntitlements(db: Executor<TenantDb>): Promise<Entitlement[]> {
  const rows = await rowsOf<Row>(
    db,
    'select code, type, value, source from entitlements order by code',
  )
  return rows.map(({ code, type, value, source }) => ({
    code,
    type,
    source,
    value: value === null ? null : fromJsonColumn<EntitlementValue>(value),
  }))
}

/** Makes what comes from the plan what the plan says; overrides stay. */
export async function putPlanEntitlements(
  db: Executor<TenantDb>,
  granted: readonly PlanEntitlement[],
  at: Date,
): Promise<void> {
  const codes = granted.map(({ code }) => code)
  const others = codes.length === 0 ? '' : ` and code not in (${codes.map(() => '?').join(', ')})`
  await affectedBy(db, `delete from entitlements where source = 'plan'${others}`, codes)
  for (const { code, type, value } of granted) {
    const json = value === null ? null : JSON.stringify(value)
    await affectedBy(
      db,
      `insert into entitlements (id, code, type, value, source, created_at, updated_at) values (?, ?, ?, ?, 'plan', ?, ?)
        on duplicate key update type = if(source = 'plan', values(type), type),
          updated_at = if(source = 'plan' and not (value <=> values(value)), values(updated_at), updated_at),
          value = if(source = 'plan', values(value), value)`,
      [newId(), code, type, json, at, at],
    )
  }
}

/** An agreement beside the plan: it holds until it is taken back. */
export const putOverride = (
  db: Executor<TenantDb>,
  { code, type, value }: PlanEntitlement,
  at: Date,
) =>
  affectedBy(
    db,
    `insert into entitlements (id, code, type, value, source, created_at, updated_at) values (?, ?, ?, ?, 'override', ?, ?)
      on duplicate key update type = values(type), value = values(value), source = 'override', updated_at = values(updated_at)`,
    [newId(), code, type, value === null ? null : JSON.stringify(value), at, at],
  )

export const deleteEntitlement = (db: Executor<TenantDb>, code: string) =>
  affectedBy(db, 'delete from entitlements where code = ?', [code])

/** Grants what the plan grants and the tenant lacks; what stands is left. Answers the codes added. */
export async function insertMissingEntitlements(
  db: TenantDb,
  granted: readonly PlanEntitlement[],
  at: Date,
): Promise<string[]> {
  const present = new Set<string>(await db('entitlements').pluck('code'))
  const missing = granted.filter(({ code }) => !present.has(code))
  if (missing.length === 0) return []
  await db('entitlements').insert(
    missing.map(({ code, type, value }) => ({
      id: newId(),
      code,
      type,
      value: value === null ? null : JSON.stringify(value),
      source: 'plan',
      created_at: at,
      updated_at: at,
    })),
  )
  return missing.map(({ code }) => code)
}

/** The tenant's own granted value; undefined where it has no such entitlement. */
export async function findEntitlementValue(
  db: Executor<TenantDb>,
  code: string,
): Promise<EntitlementValue | undefined> {
  const [row] = await rowsOf<{ value: unknown }>(
    db,
    'select value from entitlements where code = ?',
    [code],
  )
  if (!row) return undefined
  return row.value === null ? null : fromJsonColumn<EntitlementValue>(row.value)
}
