import type { Provisioner } from '../../src/core/db/provisioner.js'

export type Schema = {
  readonly tables: Readonly<Record<string, unknown>>
  readonly columns: readonly unknown[]
  readonly indexes: readonly unknown[]
  readonly references: readonly unknown[]
}

/** All that `information_schema` knows of a database's shape, without the database's name. */
export async function schemaOf(provisioner: Provisioner, database: string): Promise<Schema> {
  const tables = await provisioner.rows<{ name: string }>(
    'select table_name as name, engine as engine, table_collation as collation, row_format as row_format from information_schema.tables where table_schema = ? order by table_name',
    [database],
  )
  return {
    tables: Object.fromEntries(tables.map(({ name, ...rest }) => [name, rest])),
    columns: await provisioner.rows(
      'select table_name as t, column_name as c, ordinal_position as position, column_type as type, is_nullable as nullable, column_default as preset, extra as extra, character_set_name as charset, collation_name as collation from information_schema.columns where table_schema = ? order by table_name, ordinal_position',
      [database],
    ),
    indexes: await provisioner.rows(
      'select table_name as t, index_name as i, seq_in_index as seq, column_name as c, non_unique as non_unique, sub_part as part from information_schema.statistics where table_schema = ? order by table_name, index_name, seq_in_index',
      [database],
    ),
    references: await provisioner.rows(
      'select table_name as t, constraint_name as name, column_name as c, referenced_table_name as rt, referenced_column_name as rc from information_schema.key_column_usage where table_schema = ? and referenced_table_name is not null order by table_name, constraint_name',
      [database],
    ),
  }
}
