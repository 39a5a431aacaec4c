import type { Knex } from 'knex'

export const name = '20261101-04-licenses'

/** Rights to use a product. `entitlements` is a flat object: code to boolean, number or string. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table licenses (
      id char(36) character set ascii collate ascii_bin not null primary key,
      product_id char(36) character set ascii collate ascii_bin not null,
      license_key varchar(40) character set ascii collate ascii_bin not null,
      type varchar(20) character set ascii collate ascii_bin not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      starts_at datetime(6) null,
      expires_at datetime(6) null,
      grace_days smallint unsigned not null,
      entitlements json not null,
      metadata json not null,
      customer_name varchar(120) null,
      customer_email varchar(255) null,
      activations_count int unsigned not null,
      last_used_at datetime(6) null,
      suspended_at datetime(6) null,
      revoked_at datetime(6) null,
      revision int unsigned not null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key licenses_license_key (license_key),
      key licenses_product (product_id, status),
      key licenses_status (status, created_at),
      key licenses_expires_at (expires_at),
      key licenses_customer (customer_email),
      constraint licenses_product foreign key (product_id) references products (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table licenses')
}
