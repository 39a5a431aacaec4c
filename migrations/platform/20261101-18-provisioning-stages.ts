import type { Knex } from 'knex'

export const name = '20261101-18-provisioning-stages'

/** How far each tenant has come, stage by stage. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists provisioning_stages (
      tenant_id char(36) character set ascii collate ascii_bin not null,
      stage varchar(60) character set ascii collate ascii_bin not null,
      position tinyint unsigned not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      attempts smallint unsigned not null,
      generation bigint unsigned not null,
      started_at datetime(6) not null,
      finished_at datetime(6) null,
      duration_ms int unsigned null,
      error varchar(1000) null,
      primary key (tenant_id, stage),
      constraint provisioning_stages_tenant foreign key (tenant_id) references tenants (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table provisioning_stages')
}
