import type { Knex } from 'knex'

export const name = '20261101-19-rollouts'

/** One run of migrations over the fleet. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists rollouts (
      id char(36) character set ascii collate ascii_bin not null primary key,
      direction varchar(10) character set ascii collate ascii_bin not null,
      target varchar(190) character set ascii collate ascii_bin not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      options json not null,
      tenants_total int unsigned not null,
      started_by varchar(120) not null,
      started_at datetime(6) null,
      finished_at datetime(6) null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      key rollouts_created (created_at)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table rollouts')
}
