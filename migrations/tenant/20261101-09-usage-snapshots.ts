import type { Knex } from 'knex'

export const name = '20261101-09-usage-snapshots'

/** Totals of closed periods, as they were billed. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table usage_snapshots (
      id char(36) character set ascii collate ascii_bin not null primary key,
      code varchar(100) character set ascii collate ascii_bin not null,
      subject char(36) character set ascii collate ascii_bin not null,
      period_start datetime(6) not null,
      period_end datetime(6) not null,
      value bigint unsigned not null,
      limit_value bigint unsigned null,
      created_at datetime(6) not null,
      unique key usage_snapshots_period (code, subject, period_start)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table usage_snapshots')
}
