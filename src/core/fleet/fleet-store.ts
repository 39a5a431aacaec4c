import type { PlatformDb } from '../db/connect.js'
import { rowsOf } from '../db/statements.js'
import type { TenantStatus } from '../tenants/tenant.js'

/** A tenant as the fleet sees it. */
export type FleetTenant = {
  readonly id: string
  readonly slug: string
  readonly status: TenantStatus
  readonly database: string
  readonly serverId: string
}

export type FleetFilter = {
  /** Only these; all where it is undefined. */
  readonly slugs?: readonly string[] | undefined
  readonly exclude?: readonly string[] | undefined
  readonly plans?: readonly string[] | undefined
  readonly servers?: readonly string[] | undefined
  readonly statuses: readonly TenantStatus[]
}

type Row = {
  id: string
  slug: string
  status: TenantStatus
  database_name: string
  server_id: string
}

const AT_A_TIME = 1_000

/** The tenants that a filter lets through, by slug. */
export async function listFleet(db: PlatformDb, filter: FleetFilter): Promise<FleetTenant[]> {
  const { slugs, exclude = [], plans, servers, statuses } = filter
  const conditions = [`tenants.status in (${statuses.map(() => '?').join(', ')})`]
  const values: string[] = [...statuses]
  for (const [column, words] of [
    ['plans.code', plans],
    ['database_servers.name', servers],
  ] as const) {
    if (words === undefined) continue
    conditions.push(`${column} in (${words.map(() => '?').join(', ')})`)
    values.push(...words)
  }
  const ask = (more: string, extra: readonly string[]) =>
    rowsOf<Row>(
      db,
      `select tenants.id, tenants.slug, tenants.status, tenants.database_name, tenants.server_id
        from tenants join plans on plans.id = tenants.plan_id
          join database_servers on database_servers.id = tenants.server_id
        where ${conditions.join(' and ')} ${more} order by tenants.slug`,
      [...values, ...extra],
    )
  const rows: Row[] = []
  if (slugs === undefined) rows.push(...(await ask('', [])))
  for (let start = 0; slugs && start < slugs.length; start += AT_A_TIME) {
    const some = slugs.slice(start, start + AT_A_TIME)
    rows.push(...(await ask(`and tenants.slug in (${some.map(() => '?').join(', ')})`, some)))
  }
  const left = new Set(exclude)
  return rows
    .filter(({ slug }) => !left.has(slug))
    .map((row) => ({
      id: row.id,
      slug: row.slug,
      status: row.status,
      database: row.database_name,
      serverId: row.server_id,
    }))
}

/** Slugs among these that no tenant has. */
export async function findUnknownSlugs(
  db: PlatformDb,
  slugs: readonly string[],
): Promise<string[]> {
  const known = new Set<string>()
  for (let start = 0; start < slugs.length; start += AT_A_TIME) {
    const some = slugs.slice(start, start + AT_A_TIME)
    for (const { slug } of await rowsOf<{ slug: string }>(
      db,
      `select slug from tenants where slug in (${some.map(() => '?').join(', ')})`,
      some,
    ))
      known.add(slug)
  }
  return slugs.filter((slug) => !known.has(slug))
}
