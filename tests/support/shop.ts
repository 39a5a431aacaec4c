import type { Knex } from 'knex'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import type { Context } from '../../src/core/context.js'
import { quoteName } from '../../src/core/db/sql.js'
import { rowsOf } from '../../src/core/db/statements.js'
import type { License } from '../../src/core/licensing/license.js'
import { enterTenant, type TenantScope } from '../../src/core/tenants/scope.js'
import { freshSlug, provision } from './house.js'
import { issueFor } from './license.js'

export type Shop = {
  readonly slug: string
  readonly scope: TenantScope
  readonly apiKey: string
  issue(wish?: object): Promise<License>
}

/** A tenant on the plan without limits, with a key whose own limit no test reaches. */
export async function openShop(ctx: Context): Promise<Shop> {
  const slug = freshSlug()
  await provision(ctx, slug, 'enterprise')
  const scope = await enterTenant(ctx, slug)
  const rateLimit = { requests: 10_000_000, periodSeconds: 3_600 }
  const { secret } = await createApiKey(ctx, { slug, name: 'shop', rateLimit })
  return {
    slug,
    scope,
    apiKey: secret,
    async issue(wish = {}) {
      return (await issueFor(scope, { type: 'perpetual', ...wish })).license
    },
  }
}

let addresses = 0
/**
 * What the app sees of a connection, each time from an address that nobody had yet: failed attempts are
 * limited by address.
 */
export function fromElsewhere(): never {
  addresses += 1
  const remoteAddress = `10.${addresses >> 16}.${(addresses >> 8) & 255}.${addresses & 255}`
  // the app reads no more of a connection than this
  return { incoming: { socket: { remoteAddress }, rawHeaders: [] } } as never
}

/** How many rows each table of a database holds. */
export async function rowCounts(db: Knex): Promise<Record<string, number>> {
  const tables = await rowsOf<{ name: string }>(
    db,
    'select table_name as name from information_schema.tables where table_schema = database()',
  )
  const counts: Record<string, number> = {}
  for (const { name } of tables) {
    const [row] = await rowsOf<{ count: number }>(
      db,
      `select count(*) as count from ${quoteName(name)}`,
    )
    counts[name] = Number(row?.count)
  }
  return counts
}
