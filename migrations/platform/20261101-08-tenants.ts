import type { Knex } from 'knex'

export const name = '20261101-08-tenants'

/** The registry. A slug and a database name are never used twice, so rows are never deleted. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists tenants (
      id char(36) character set ascii collate ascii_bin not null primary key,
      slug varchar(40) character set ascii collate ascii_bin not null,
      name varchar(120) not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      plan_id char(36) character set ascii collate ascii_bin not null,
      server_id char(36) character set ascii collate ascii_bin not null,
      database_name varchar(64) character set ascii collate ascii_bin not null,
      database_user varchar(32) character set ascii collate ascii_bin not null,
      credentials_key_id varchar(16) character set ascii collate ascii_bin not null,
      credentials_generation int unsigned not null,
      status_reason varchar(255) null,
      activated_at datetime(6) null,
      suspended_at datetime(6) null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key tenants_slug (slug),
      unique key tenants_database_name (database_name),
      unique key tenants_database_user (database_user),
      key tenants_status (status, id),
      constraint tenants_plan foreign key (plan_id) references plans (id),
      constraint tenants_server foreign key (server_id) references database_servers (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table tenants')
}
