import type { Knex } from 'knex'

export const name = '20261101-01-platform-settings'

/** What this platform is: its id, and the id of the application key that it was made with. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists platform_settings (
      name varchar(64) character set ascii collate ascii_bin not null primary key,
      value varchar(255) not null,
      updated_at datetime(6) not null
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table platform_settings')
}
