import { setTimeout as sleep } from 'node:timers/promises'
import type { TenantPlace } from '../../src/core/db/tenant-database-manager.js'
import { codeOf } from './code-of.js'
import type { Random } from './random.js'

/** A row of the tenant's own database says whose it is: the tenant's id. */
export type Canary = { readonly canary: unknown }
export const CANARY = 'select display_name as canary from branding'

/** One way to ask something of a tenant's database. Answers every row that came back. */
export type Door = (tenant: TenantPlace) => Promise<readonly Canary[]>

export type Flight = {
  /** Rows that were read, and those among them that are another tenant's, by door. */
  readonly rows: number
  readonly foreign: readonly string[]
  /** How often each door was used, and how often each error came of it. */
  readonly uses: Readonly<Record<string, number>>
  readonly errors: Readonly<Record<string, number>>
}

type Plan = {
  readonly tenants: readonly TenantPlace[]
  readonly doors: Readonly<Record<string, Door>>
  readonly queries: number
  /** How many are under way at once. */
  readonly width: number
  readonly random: Random
  /** Called before and after each query. */
  readonly watch?: () => void
}

const LONGEST_MS = 30_000
const MOST_STUCK = 3

/** Asks at random, many at once, and looks at whose rows come back. */
export async function fly({
  tenants,
  doors,
  queries,
  width,
  random,
  watch,
}: Plan): Promise<Flight> {
  const names = Object.keys(doors)
  const uses: Record<string, number> = {}
  const errors: Record<string, number> = {}
  const foreign: string[] = []
  let [left, rows, stuck] = [queries, 0, 0]

  const ask = async (): Promise<void> => {
    const [tenant, name] = [random.pick(tenants), random.pick(names)]
    const given = new AbortController()
    const never = sleep(LONGEST_MS, undefined, { signal: given.signal, ref: false }).then(() => {
      stuck += 1
      throw new Error(`never settled: ${name}`)
    })
    never.catch(() => {})
    uses[name] = (uses[name] ?? 0) + 1
    watch?.()
    try {
      const found = (await Promise.race([doors[name]?.(tenant), never])) ?? []
      rows += found.length
      for (const { canary } of found)
        if (canary !== tenant.id) foreign.push(`${name}: ${String(canary)} for ${tenant.id}`)
    } catch (error) {
      const code = codeOf(error)
      errors[code] = (errors[code] ?? 0) + 1
    } finally {
      given.abort()
      watch?.()
    }
  }

  const fliers = Array.from({ length: width }, async () => {
    while (left > 0 && stuck < MOST_STUCK) {
      left -= 1
      await ask()
    }
  })
  await Promise.all(fliers)
  return { rows, foreign, uses, errors }
}
