import type { Knex } from 'knex'

export const name = '20261124-06-audit-checkpoints'

/** Signed heads that stand for rows of the trail that were removed, so that what is left can still be verified. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists audit_checkpoints (
      sequence bigint unsigned not null primary key,
      hash binary(32) not null,
      removed bigint unsigned not null,
      removed_before datetime(6) not null,
      signature binary(32) not null,
      created_at datetime(6) not null
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table audit_checkpoints')
}
