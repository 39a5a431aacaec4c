import type { Knex } from 'knex'

export const name = '20261124-02-invitations'

/** Who was asked to join a tenant. `open_for` repeats the address while the invitation is open, so that each has one at most. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists invitations (
      id char(36) character set ascii collate ascii_bin not null primary key,
      tenant_id char(36) character set ascii collate ascii_bin not null,
      email varchar(255) not null,
      open_for varchar(255) null,
      role varchar(20) character set ascii collate ascii_bin not null,
      token_hash binary(32) not null,
      invited_by varchar(120) not null,
      invited_by_user_id bigint unsigned null,
      expires_at datetime(6) not null,
      accepted_at datetime(6) null,
      revoked_at datetime(6) null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key invitations_token (token_hash),
      unique key invitations_open (tenant_id, open_for),
      constraint invitations_tenant foreign key (tenant_id) references tenants (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table invitations')
}
