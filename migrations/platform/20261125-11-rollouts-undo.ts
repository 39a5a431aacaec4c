import type { Knex } from 'knex'

export const name = '20261125-11-rollouts-undo'

/**
 * `undoes`: the rollout that a rollback takes back; such a rollback has no target.
 * `records_applied`: whether `rollout_tenants.applied` holds every attempt. Rollouts of earlier
 * versions recorded their last attempt only, so they can't be undone by their record.
 * Contract, because `target` becomes nullable: only the operator's commands read it, and not `serve`.
 */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    alter table rollouts -- contract
      modify column target varchar(190) character set ascii collate ascii_bin null,
      add column undoes char(36) character set ascii collate ascii_bin null after target,
      add column records_applied boolean not null default false after tenants_total
  `)
}

/** `target` stays nullable: it has no other value for a rollback. */
export async function down(db: Knex): Promise<void> {
  await db.raw('alter table rollouts drop column undoes, drop column records_applied')
}
