import type { Knex } from 'knex'

export const name = '20261101-13-invoice-lines'

/** What an invoice is made of. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists invoice_lines (
      id char(36) character set ascii collate ascii_bin not null primary key,
      invoice_id char(36) character set ascii collate ascii_bin not null,
      position smallint unsigned not null,
      description varchar(255) not null,
      code varchar(100) character set ascii collate ascii_bin null,
      quantity bigint not null,
      unit_price_cents bigint not null,
      amount_cents bigint not null,
      created_at datetime(6) not null,
      unique key invoice_lines_position (invoice_id, position),
      constraint invoice_lines_invoice foreign key (invoice_id) references invoices (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table invoice_lines')
}
