import type { Knex } from 'knex'

export const name = '20261124-01-rollout-tenants-planned'

/** What a tenant needs by the rollout's plan, so that one that is resumed does the same and no more. */
export async function up(db: Knex): Promise<void> {
  await db.raw('alter table rollout_tenants add column planned json null after attempts')
}

export async function down(db: Knex): Promise<void> {
  await db.raw('alter table rollout_tenants drop column planned')
}
