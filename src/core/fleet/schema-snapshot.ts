import { createHash } from 'node:crypto'
import type { Provisioner } from '../db/provisioner.js'

/**
 * A database's schema as named objects (`column licenses.status`) with their definitions. Two are alike
 * where they have the same objects with the same definitions: positions of columns do not count.
 */
export type SchemaSnapshot = ReadonlyMap<string, string>

/** An object that differs: `before` or `after` is undefined where it is not there. */
export type SchemaChange = {
  readonly object: string
  readonly before: string | undefined
  readonly after: string | undefined
}

type Row = { db: string; object: string; definition: string }

const QUERIES: readonly string[] = [
  `select table_schema as db, concat('table ', table_name) as object,
      concat_ws(' ', engine, table_collation) as definition
    from information_schema.tables where table_type = 'BASE TABLE' and table_schema = ?`,
  `select table_schema as db, concat('column ', table_name, '.', column_name) as object,
      concat_ws(' ', column_type, if(is_nullable = 'YES', 'null', 'not null'),
        if(column_default is null, '', concat('default ', column_default)),
        collation_name, extra, generation_expression) as definition
    from information_schema.columns where table_schema = ?`,
  `select table_schema as db, concat('index ', table_name, '.', index_name) as object,
      concat_ws(' ', if(non_unique = 0, 'unique', ''),
        group_concat(concat(column_name, coalesce(concat('(', sub_part, ')'), '')) order by seq_in_index)) as definition
    from information_schema.statistics where table_schema = ?
    group by table_schema, table_name, index_name, non_unique`,
  `select k.constraint_schema as db, concat('foreign key ', k.table_name, '.', k.constraint_name) as object,
      concat_ws(' ', group_concat(k.column_name order by k.ordinal_position), 'to', k.referenced_table_name,
        group_concat(k.referenced_column_name order by k.ordinal_position), r.update_rule, r.delete_rule) as definition
    from information_schema.key_column_usage k
      join information_schema.referential_constraints r
        on r.constraint_schema = ? and r.constraint_name = k.constraint_name and r.table_name = k.table_name
    where k.table_schema = ? and k.constraint_schema = ? and k.referenced_table_name is not null
    group by k.constraint_schema, k.table_name, k.constraint_name, k.referenced_table_name, r.update_rule, r.delete_rule`,
]

/**
 * Schemas of many databases of one server, in four statements. One that does not exist has no objects.
 * Each database is asked for by name: where a list of names is given, MariaDB opens the tables of all.
 */
export async function readSnapshots(
  provisioner: Provisioner,
  databases: readonly string[],
): Promise<Map<string, SchemaSnapshot>> {
  const snapshots = new Map(databases.map((database) => [database, new Map<string, string>()]))
  if (databases.length === 0) return snapshots
  for (const query of QUERIES) {
    const times = query.split('?').length - 1
    const values = databases.flatMap((database) => Array(times).fill(database))
    const all = databases.map(() => `(${query})`).join(' union all ')
    for (const { db, object, definition } of await provisioner.rows<Row>(all, values)) {
      snapshots.get(db)?.set(object, definition.trim())
    }
  }
  return snapshots
}

export async function readSnapshot(
  provisioner: Provisioner,
  database: string,
): Promise<SchemaSnapshot> {
  return (await readSnapshots(provisioner, [database])).get(database) ?? new Map()
}

export function changesBetween(before: SchemaSnapshot, after: SchemaSnapshot): SchemaChange[] {
  const objects = new Set([...before.keys(), ...after.keys()])
  return [...objects]
    .filter((object) => before.get(object) !== after.get(object))
    .sort()
    .map((object) => ({ object, before: before.get(object), after: after.get(object) }))
}

/** Without the parts of tables that are missing or extra as a whole. */
export function inShort(changes: readonly SchemaChange[]): SchemaChange[] {
  const whole = changes
    .filter(
      ({ object, before, after }) =>
        /^table /.test(object) && (before === undefined || after === undefined),
    )
    .map(({ object }) => object.slice('table '.length))
  return changes.filter(({ object }) => !whole.some((table) => object.includes(` ${table}.`)))
}

/** The same for two snapshots that are alike, and for no others. */
export const fingerprintOf = (snapshot: SchemaSnapshot): string =>
  createHash('sha256')
    .update(JSON.stringify([...snapshot].sort(([one], [other]) => (one < other ? -1 : 1))))
    .digest('hex')
