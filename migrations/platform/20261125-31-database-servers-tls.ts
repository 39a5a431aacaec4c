import type { Knex } from 'knex'

export const name = '20261125-31-database-servers-tls'

/** How a server is reached by TLS, if otherwise than VALIDONX_DATABASE_TLS says. Files are paths on each machine. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    alter table database_servers
      add column tls_level varchar(20) character set ascii collate ascii_bin null after socket_path,
      add column tls_ca_file varchar(500) null after tls_level,
      add column tls_cert_file varchar(500) null after tls_ca_file,
      add column tls_key_file varchar(500) null after tls_cert_file
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw(
    'alter table database_servers drop column tls_level, drop column tls_ca_file, drop column tls_cert_file, drop column tls_key_file',
  )
}
