import type { Knex } from 'knex'

export const name = '20261101-07-admins'

/** People who run the platform, with the columns that Laravel expects. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists admins (
      id bigint unsigned not null auto_increment primary key,
      name varchar(255) not null,
      email varchar(255) not null,
      password varchar(255) null,
      remember_token varchar(100) null,
      disabled_at datetime(6) null,
      created_at datetime(6) null,
      updated_at datetime(6) null,
      deleted_at datetime(6) null,
      unique key admins_email (email)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table admins')
}
