import type { Knex } from 'knex'

export const name = '20261101-05-activations'

/** Instances that use a license. `active_instance` repeats the instance while it is active, so that each has one seat at most. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table activations (
      id char(36) character set ascii collate ascii_bin not null primary key,
      license_id char(36) character set ascii collate ascii_bin not null,
      instance_id varchar(190) character set utf8mb4 collate utf8mb4_bin not null,
      active_instance varchar(190) character set utf8mb4 collate utf8mb4_bin null,
      device_fingerprint varchar(190) character set utf8mb4 collate utf8mb4_bin not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      metadata json not null,
      activated_at datetime(6) not null,
      last_validated_at datetime(6) null,
      revoked_at datetime(6) null,
      revision int unsigned not null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key activations_active (license_id, active_instance),
      key activations_status (status, created_at),
      constraint activations_license foreign key (license_id) references licenses (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table activations')
}
