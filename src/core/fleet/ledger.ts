import { OWNER_TABLE } from '../db/ownership.js'
import type { Provisioner } from '../db/provisioner.js'
import { quoteName } from '../db/sql.js'
import { causeOf, type FailureKind } from '../driver-failure.js'
import { AppError, asAppError } from '../errors.js'

/** What a tenant's database says of itself: whose it is, and which migrations it has had. */
export type Ledger = {
  /** The tenant that the database belongs to; undefined where it bears no mark. */
  readonly ownerId: string | undefined
  /** Names in the order they were applied. */
  readonly applied: readonly string[]
  /** The number of the last batch, as Knex counts them. */
  readonly batch: number
}

/** The tables that are read. */
const LEDGER = [OWNER_TABLE, 'knex_migrations']

/** What can be wrong with one database while the others can be read. */
export const OF_ONE_DATABASE: readonly FailureKind[] = [
  'missing',
  'privilege missing',
  'damaged',
  'refused',
  'other',
]

/** One statement asks so many databases: more would only make the server's parser slower. */
const AT_A_TIME = 200

/** Why a ledger cannot be read: its database or some of its tables are gone, or the server refuses. */
export type LedgerFailure = {
  /** Undefined if the database itself is gone. */
  readonly missingTables: readonly string[] | undefined
  readonly cause: unknown
}

export const isLedger = (found: Ledger | LedgerFailure): found is Ledger => 'applied' in found

/** The failure as an error of this tenant. */
export function ledgerError(slug: string, { missingTables, cause }: LedgerFailure): AppError {
  if (missingTables === undefined)
    return new AppError('TENANT.DATABASE_MISSING', slug).because(cause)
  return missingTables.length > 0
    ? new AppError('MIGRATION.LEDGER_MISSING', slug, missingTables).because(cause)
    : asAppError(cause)
}

/**
 * The ledgers of many databases of one server, in as few statements as there are hundreds of them.
 * One that cannot be read comes back as a failure, and the others are read all the same: a statement
 * that fails is asked again in halves.
 *
 * @throws DATABASE.UNREACHABLE and its like if the server itself cannot be asked
 */
export async function readLedgers(
  provisioner: Provisioner,
  databases: readonly string[],
): Promise<Map<string, Ledger | LedgerFailure>> {
  const found = new Map<string, Ledger | LedgerFailure>()
  for (let start = 0; start < databases.length; start += AT_A_TIME) {
    await readSome(provisioner, databases.slice(start, start + AT_A_TIME), found)
  }
  return found
}

type Row = {
  position: number
  owner_id: string | null
  names: string | null
  batch: number | null
}

async function readSome(
  provisioner: Provisioner,
  databases: readonly string[],
  found: Map<string, Ledger | LedgerFailure>,
): Promise<void> {
  try {
    const rows = await provisioner.rows<Row>(databases.map(questionOf).join(' union all '))
    for (const { position, owner_id, names, batch } of rows) {
      found.set(databases[position] as string, {
        ownerId: owner_id ?? undefined,
        applied: names === null ? [] : names.split('\n'),
        batch: Number(batch ?? 0),
      })
    }
  } catch (error) {
    const kind = causeOf(error)?.kind
    if (kind === undefined || !OF_ONE_DATABASE.includes(kind)) throw error
    const [only] = databases
    if (databases.length === 1 && only !== undefined) {
      found.set(only, { missingTables: await missingTables(provisioner, only), cause: error })
      return
    }
    const half = Math.ceil(databases.length / 2)
    await readSome(provisioner, databases.slice(0, half), found)
    await readSome(provisioner, databases.slice(half), found)
  }
}

/** Tables of the ledger that the database lacks; undefined if there is no such database. */
async function missingTables(
  provisioner: Provisioner,
  database: string,
): Promise<readonly string[] | undefined> {
  const rows = await provisioner.rows<{ name: string | null }>(
    `select tables.table_name as name from information_schema.schemata
      left join information_schema.tables on tables.table_schema = schemata.schema_name and tables.table_name in (?, ?)
      where schemata.schema_name = ?`,
    [...LEDGER, database],
  )
  if (rows.length === 0) return undefined
  return LEDGER.filter((table) => !rows.some(({ name }) => name === table))
}

const questionOf = (database: string, position: number): string => {
  const schema = quoteName(database)
  return `select ${position} as position, (select max(tenant_id) from ${schema}.${OWNER_TABLE}) as owner_id, group_concat(name order by id separator '\\n') as names, max(batch) as batch from ${schema}.knex_migrations`
}
