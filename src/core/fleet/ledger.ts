import { OWNER_TABLE } from '../db/ownership.js'
import type { Provisioner } from '../db/provisioner.js'
import { quoteName } from '../db/sql.js'
import { causeOf } from '../driver-failure.js'
import { AppError } from '../errors.js'

/** What a tenant's database says of itself: whose it is, and which migrations it has had. */
export type Ledger = {
  /** The tenant that the database belongs to; undefined where it bears no mark. */
  readonly ownerId: string | undefined
  /** Names in the order they were applied. */
  readonly applied: readonly string[]
  /** The number of the last batch, as Knex counts them. */
  readonly batch: number
}

/** One statement asks so many databases: more would only make the server's parser slower. */
const AT_A_TIME = 200

/**
 * The ledgers of many databases of one server, in as few statements as there are hundreds of them.
 * One that cannot be read (gone, or without a ledger) comes back as its error; the others do not
 * suffer from it: a statement that fails is asked again in halves.
 *
 * @throws DATABASE.UNREACHABLE and its like where the server itself cannot be asked
 */
export async function readLedgers(
  provisioner: Provisioner,
  databases: readonly string[],
): Promise<Map<string, Ledger | AppError>> {
  const found = new Map<string, Ledger | AppError>()
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
  found: Map<string, Ledger | AppError>,
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
    if (kind !== 'missing' && kind !== 'privilege missing' && kind !== 'other') throw error
    const [only] = databases
    if (databases.length === 1 && only !== undefined) {
      found.set(only, new AppError('TENANT.DATABASE_MISSING', only).because(error))
      return
    }
    const half = Math.ceil(databases.length / 2)
    await readSome(provisioner, databases.slice(0, half), found)
    await readSome(provisioner, databases.slice(half), found)
  }
}

const questionOf = (database: string, position: number): string => {
  const schema = quoteName(database)
  return `select ${position} as position, (select max(tenant_id) from ${schema}.${OWNER_TABLE}) as owner_id, group_concat(name order by id separator '\\n') as names, max(batch) as batch from ${schema}.knex_migrations`
}
