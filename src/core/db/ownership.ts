import { isFailure } from '../driver-failure.js'
import type { Provisioner } from './provisioner.js'
import { quoteName } from './sql.js'

/** The marker in every tenant database: one row that says whose it is. A database without it is a stranger's. */
export const OWNER_TABLE = 'validonx_owner'

export const ownerTableSql = (database: string): string =>
  `create table if not exists ${quoteName(database)}.${OWNER_TABLE} (tenant_id char(36) character set ascii collate ascii_bin not null primary key, created_at datetime(6) not null) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic`

/** Only the first owner is ever written: a second insert finds the table taken. */
export const markOwnerSql = (database: string): string =>
  `insert into ${quoteName(database)}.${OWNER_TABLE} (tenant_id, created_at) select ?, utc_timestamp(6) from dual where not exists (select 1 from ${quoteName(database)}.${OWNER_TABLE})`

/** The id of the tenant that owns a database, `unmarked` for one without a marker, undefined where there is none. */
export async function ownerOf(
  provisioner: Provisioner,
  database: string,
): Promise<string | 'unmarked' | undefined> {
  try {
    const [row] = await provisioner.rows<{ tenant_id: string }>(
      `select tenant_id from ${quoteName(database)}.${OWNER_TABLE}`,
    )
    return row?.tenant_id ?? 'unmarked'
  } catch (error) {
    if (!isFailure(error, 'missing')) throw error
  }
  const [schema] = await provisioner.rows(
    'select 1 from information_schema.schemata where schema_name = ?',
    [database],
  )
  return schema ? 'unmarked' : undefined
}

export async function isEmptyDatabase(
  provisioner: Provisioner,
  database: string,
): Promise<boolean> {
  const tables = await provisioner.rows<{ name: string }>(
    'select table_name as name from information_schema.tables where table_schema = ? limit 2',
    [database],
  )
  return tables.every(({ name }) => name === OWNER_TABLE)
}
