import type { Knex } from 'knex'

export const name = '20261101-05-database-servers'

/** Servers that hold tenant databases. Without host and socket it is the server that holds this platform database. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists database_servers (
      id char(36) character set ascii collate ascii_bin not null primary key,
      name varchar(60) character set ascii collate ascii_bin not null,
      host varchar(255) character set ascii collate ascii_bin null,
      port smallint unsigned null,
      socket_path varchar(255) null,
      provisioner_login_encrypted text null,
      capacity int unsigned not null,
      accepts_tenants boolean not null,
      version varchar(120) not null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key database_servers_name (name)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table database_servers')
}
