import type { Knex } from 'knex'

export const name = '20261101-20-rollout-tenants'

/** How one tenant fares in a rollout. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists rollout_tenants (
      rollout_id char(36) character set ascii collate ascii_bin not null,
      tenant_id char(36) character set ascii collate ascii_bin not null,
      batch int unsigned not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      attempts smallint unsigned not null,
      applied json null,
      started_at datetime(6) null,
      finished_at datetime(6) null,
      error varchar(1000) null,
      primary key (rollout_id, tenant_id),
      key rollout_tenants_status (rollout_id, status, batch),
      key rollout_tenants_tenant (tenant_id),
      constraint rollout_tenants_rollout foreign key (rollout_id) references rollouts (id),
      constraint rollout_tenants_tenant foreign key (tenant_id) references tenants (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table rollout_tenants')
}
