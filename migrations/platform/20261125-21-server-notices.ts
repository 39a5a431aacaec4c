import type { Knex } from 'knex'

export const name = '20261125-21-server-notices'

/** What serving processes have noticed about their surroundings, for `doctor` to report. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists server_notices (
      name varchar(64) character set ascii collate ascii_bin not null primary key,
      detail varchar(255) not null,
      first_seen_at datetime(6) not null,
      last_seen_at datetime(6) not null
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table server_notices')
}
