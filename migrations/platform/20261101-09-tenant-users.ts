import type { Knex } from 'knex'

export const name = '20261101-09-tenant-users'

/** Memberships: which user may do what in which tenant. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists tenant_users (
      id char(36) character set ascii collate ascii_bin not null primary key,
      tenant_id char(36) character set ascii collate ascii_bin not null,
      user_id bigint unsigned not null,
      role varchar(20) character set ascii collate ascii_bin not null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key tenant_users_tenant_user (tenant_id, user_id),
      key tenant_users_user (user_id),
      constraint tenant_users_tenant foreign key (tenant_id) references tenants (id),
      constraint tenant_users_user foreign key (user_id) references users (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table tenant_users')
}
