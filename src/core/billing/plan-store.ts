import type { PlatformDb } from '../db/connect.js'
import { rowsOf } from '../db/statements.js'
import { AppError } from '../errors.js'
import { fromJsonColumn } from '../parse.js'
import type { EntitlementType, EntitlementValue, Plan } from './plan.js'

type Row = {
  id: string
  code: string
  name: string
  price_cents: number | null
  currency: string
  is_offered: number
  entitlement_code: string | null
  entitlement_type: EntitlementType | null
  entitlement_value: unknown
  overage_price_cents: number | null
}

const SELECT = `select plans.id, plans.code, plans.name, plans.price_cents, plans.currency, plans.is_offered,
    plan_entitlements.code as entitlement_code, plan_entitlements.type as entitlement_type,
    plan_entitlements.value as entitlement_value, plan_entitlements.overage_price_cents
  from plans left join plan_entitlements on plan_entitlements.plan_id = plans.id`

/** All plans with what they grant, in the order of their seeds. */
export async function listPlans(db: PlatformDb): Promise<Plan[]> {
  return toPlans(await rowsOf<Row>(db, `${SELECT} order by plans.position, plan_entitlements.id`))
}

/** @throws PLAN.NOT_FOUND, naming the plans that there are */
export async function getPlanByCode(db: PlatformDb, code: string): Promise<Plan> {
  const plans = await listPlans(db)
  const plan = plans.find((each) => each.code === code)
  if (!plan)
    throw new AppError(
      'PLAN.NOT_FOUND',
      code,
      plans.map((each) => each.code),
    )
  return plan
}

export async function getPlanById(db: PlatformDb, id: string): Promise<Plan> {
  const [plan] = toPlans(
    await rowsOf<Row>(db, `${SELECT} where plans.id = ? order by plan_entitlements.id`, [id]),
  )
  if (!plan) throw new AppError('PLAN.NOT_FOUND', id, [])
  return plan
}

function toPlans(rows: readonly Row[]): Plan[] {
  const byId = new Map<string, Row[]>()
  for (const row of rows) byId.set(row.id, [...(byId.get(row.id) ?? []), row])
  return [...byId.values()].flatMap((own) => {
    const [first] = own
    if (!first) return []
    const entitlements = own.flatMap((row) =>
      row.entitlement_code === null || row.entitlement_type === null
        ? []
        : [
            {
              code: row.entitlement_code,
              type: row.entitlement_type,
              value: toValue(row.entitlement_value),
              overagePriceCents: row.overage_price_cents ?? undefined,
            },
          ],
    )
    return [
      {
        id: first.id,
        code: first.code,
        name: first.name,
        priceCents: first.price_cents ?? undefined,
        currency: first.currency,
        isOffered: first.is_offered === 1,
        entitlements,
      },
    ]
  })
}

const toValue = (column: unknown): EntitlementValue =>
  column === null ? null : fromJsonColumn<EntitlementValue>(column)
