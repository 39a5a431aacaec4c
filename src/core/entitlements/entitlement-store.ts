import type { EntitlementType, EntitlementValue, PlanEntitlement } from '../billing/plan.js'
import type { TenantDb } from '../db/connect.js'
import { type Executor, rowsOf } from '../db/statements.js'
import { newId } from '../ids.js'
import { fromJsonColumn } from '../parse.js'

export type Entitlement = PlanEntitlement & { readonly source: 'plan' | 'override' }

type Row = { code: string; type: EntitlementType; value: unknown; source: Entitlement['source'] }

export async function listEntitlements(db: TenantDb): Promise<Entitlement[]> {
  const rows = (await db<Row>('entitlements')
    .select('code', 'type', 'value', 'source')
    .orderBy('code')) as Row[]
  return rows.map((row) => ({
    ...row,
    value: row.value === null ? null : fromJsonColumn<EntitlementValue>(row.value),
  }))
}

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
