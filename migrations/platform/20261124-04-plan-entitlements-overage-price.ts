import type { Knex } from 'knex'

export const name = '20261124-04-plan-entitlements-overage-price'

/** What a unit costs beyond the granted value. Null costs nothing. */
export async function up(db: Knex): Promise<void> {
  await db.raw(
    'alter table plan_entitlements add column overage_price_cents int unsigned null after value',
  )
}

export async function down(db: Knex): Promise<void> {
  await db.raw('alter table plan_entitlements drop column overage_price_cents')
}
