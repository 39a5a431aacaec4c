import { tenantMigrations } from '../../../migrations/tenant/index.js'
import { listPlans } from '../billing/plan-store.js'
import type { Context } from '../context.js'
import { OWNER_TABLE } from '../db/ownership.js'
import type { Provisioner } from '../db/provisioner.js'
import { quoteName, quoteUser } from '../db/sql.js'
import { isFailure } from '../driver-failure.js'
import { AppError, asAppError } from '../errors.js'
import { plural } from '../plural.js'
import type { DatabaseServer } from '../servers/database-server.js'
import { listServers } from '../servers/database-server-store.js'
import type { Tenant } from '../tenants/tenant.js'
import { listTenants } from '../tenants/tenant-store.js'
import { examineTenant, lostDatabase } from './examine-tenant.js'
import { scratchPrefix } from './expected-changes.js'
import { findUnknownSlugs } from './fleet-store.js'
import type { DriftGroup, Finding, FleetFinding, FleetHealth, TenantHealth } from './health.js'
import {
  findStaleLeases,
  listDatabases,
  listTenantUsers,
  readSizes,
  readTraffic,
  type Traffic,
} from './health-store.js'
import {
  isLedger,
  type Ledger,
  type LedgerFailure,
  ledgerError,
  OF_ONE_DATABASE,
  readLedgers,
} from './ledger.js'
import { groupByServer } from './plan-rollout.js'
import {
  changesBetween,
  inShort,
  readSnapshots,
  type SchemaChange,
  type SchemaSnapshot,
} from './schema-snapshot.js'
import { findSchemaScript, SCRIPT_TABLE, templateDatabase } from './template.js'

const PAGE = 1_000
const AT_ONCE = 8
/** Databases whose schemas are read in one go. */
const SNAPSHOTS_AT_A_TIME = 50
/** Provisioning that has not moved for so long will not move by itself. */
const STUCK_AFTER_MS = 600_000

export type ExamineOptions = {
  /** Only these; the whole fleet, with what belongs to nobody, where it is undefined. */
  readonly slugs?: readonly string[]
  readonly onProgress?: (done: number, of: number) => void
}

/**
 * Looks at tenants, and changes nothing: each under its own database user, schemas against the server's
 * template, and, for the whole fleet, what is there and belongs to no tenant.
 *
 * @throws TENANT.NOT_FOUND
 */
export async function examineFleet(
  ctx: Context,
  { slugs, onProgress = () => {} }: ExamineOptions = {},
): Promise<FleetHealth> {
  const [unknown] = slugs ? await findUnknownSlugs(ctx.platform, slugs) : []
  if (unknown !== undefined) throw new AppError('TENANT.NOT_FOUND', unknown)
  const everyone = await allTenants(ctx)
  const wanted = slugs && new Set(slugs)
  const tenants = everyone.filter(({ slug, status }) =>
    wanted ? wanted.has(slug) : status !== 'archived',
  )
  const found = new Map<string, Finding[]>(tenants.map(({ id }) => [id, []]))
  const add = (tenantId: string, ...findings: Finding[]) => found.get(tenantId)?.push(...findings)

  const open = tenants.filter(({ status }) => status === 'active' || status === 'suspended')
  await examineEach(ctx, open, add, onProgress)
  const lacksDatabase = (tenantId: string) =>
    found.get(tenantId)?.some(({ check }) => check === 'database') === true
  const sites = await examineServers(ctx, open, lacksDatabase, add)
  const traffic = await readTraffic(ctx.platform, ctx.keyring.ids)
  const now = ctx.now()
  for (const tenant of tenants) {
    add(tenant.id, ...provisioningFindings(tenant, now))
    if (tenant.status === 'active')
      add(tenant.id, ...trafficFindings(tenant, traffic.get(tenant.id)))
  }
  const findings = wanted ? sites.findings : [...sites.findings, ...(await strays(ctx, everyone))]
  const health = tenants.map(
    (tenant): TenantHealth => ({
      tenantId: tenant.id,
      slug: tenant.slug,
      status: tenant.status,
      findings: found.get(tenant.id) ?? [],
      lastRequestAt: traffic.get(tenant.id)?.lastRequestAt,
      size: sites.sizes.get(tenant.database),
    }),
  )
  return {
    isHealthy:
      health.every((tenant) => tenant.findings.length === 0) &&
      findings.every(({ kind }) => kind === 'not seen'),
    tenants: health,
    drift: sites.drift,
    findings,
  }
}

type Add = (tenantId: string, ...findings: Finding[]) => void

async function allTenants(ctx: Context): Promise<Tenant[]> {
  const tenants: Tenant[] = []
  for (let afterSlug: string | undefined; ; ) {
    const page = await listTenants(ctx.platform, { afterSlug, limit: PAGE })
    tenants.push(...page)
    afterSlug = page.at(-1)?.slug
    if (page.length < PAGE) return tenants
  }
}

async function examineEach(
  ctx: Context,
  tenants: readonly Tenant[],
  add: Add,
  onProgress: (done: number, of: number) => void,
): Promise<void> {
  const plans = new Map((await listPlans(ctx.platform)).map((plan) => [plan.id, plan]))
  const queue = [...tenants].reverse()
  let done = 0
  const worker = async () => {
    for (let tenant = queue.pop(); tenant; tenant = queue.pop()) {
      add(tenant.id, ...(await examineTenant(ctx, tenant, plans.get(tenant.planId))))
      done += 1
      onProgress(done, tenants.length)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

type Sites = {
  readonly drift: DriftGroup[]
  readonly sizes: Map<string, number>
  readonly findings: FleetFinding[]
}

/** What is asked of each server for all its tenants together: ledgers, schemas, sizes. */
async function examineServers(
  ctx: Context,
  tenants: readonly Tenant[],
  lacksDatabase: (tenantId: string) => boolean,
  add: Add,
): Promise<Sites> {
  const groups = new Map<string, { differences: SchemaChange[]; tenants: string[] }>()
  const sizes = new Map<string, number>()
  const findings: FleetFinding[] = []
  const servers = new Map(
    (await listServers(ctx.platform)).map(({ server }) => [server.id, server]),
  )
  for (const [serverId, own] of groupByServer(tenants)) {
    const server = servers.get(serverId)
    if (!server) continue
    try {
      const provisioner = await ctx.provisioner(server)
      const pending = await examineLedgers(provisioner, own, lacksDatabase, add)
      const template = await templateSnapshot(ctx, provisioner)
      const database = templateDatabase(ctx.config.tenantPrefix)
      if (template) {
        const drift = (tenant: Tenant, differences: readonly SchemaChange[]) =>
          add(tenant.id, driftFinding(tenant.slug, differences, database, pending.has(tenant.id)))
        await compareSchemas(provisioner, own, template, groups, drift)
      } else findings.push(withoutTemplate(server))
      const found = await readSizes(provisioner, ctx.config.tenantPrefix)
      for (const [name, size] of found ?? []) sizes.set(name, size)
      if (!found) findings.push(await unseen(server, provisioner, 'sizes', 'process on *.*'))
    } catch (thrown) {
      const says = asAppError(thrown).message
      for (const { id } of own)
        add(id, {
          check: 'schema',
          says,
          next: `for database server "${server.name}": validonx doctor`,
        })
    }
  }
  const drift = [...groups.values()].sort((one, other) => other.tenants.length - one.tenants.length)
  return { drift, sizes, findings }
}

/** Adds what is wrong with ledgers. Returns the tenants that a migration is pending for. */
async function examineLedgers(
  provisioner: Provisioner,
  tenants: readonly Tenant[],
  lacksDatabase: (tenantId: string) => boolean,
  add: Add,
): Promise<ReadonlySet<string>> {
  const ledgers = await readLedgers(
    provisioner,
    tenants.map(({ database }) => database),
  )
  const pending = new Set<string>()
  for (const tenant of tenants) {
    const ledger = ledgers.get(tenant.database)
    const finding = ledgerFinding(tenant, ledger, lacksDatabase(tenant.id))
    if (finding) add(tenant.id, finding)
    if (ledger && isLedger(ledger) && isBehind(ledger)) pending.add(tenant.id)
  }
  return pending
}

/** Whether `tenant migrate` has something to do there. */
function isBehind({ applied }: Ledger): boolean {
  const known = new Set(tenantMigrations.map(({ name }) => name))
  return applied.every((name) => known.delete(name)) && known.size > 0
}

/** @param lacksDatabase whether that was found already */
function ledgerFinding(
  tenant: Tenant,
  ledger: Ledger | LedgerFailure | undefined,
  lacksDatabase: boolean,
): Finding | undefined {
  if (!ledger || !isLedger(ledger)) {
    const tables = ledger?.missingTables
    if (!ledger || tables === undefined) return lacksDatabase ? undefined : lostDatabase(tenant)
    if (tables.length === 0)
      return {
        check: 'schema',
        says: `its ledger of migrations cannot be read: ${ledgerError(tenant.slug, ledger).message}`,
        next: 'for what the provisioner may not do: validonx doctor',
      }
    return {
      check: 'schema',
      says: `its ledger of migrations cannot be read: it has no table ${tables.join(' and ')}`,
      next: 'restore that table from a backup; nothing else tells what the tenant has had',
    }
  }
  const had = new Set(ledger.applied)
  const known = new Set(tenantMigrations.map(({ name }) => name))
  const strange = ledger.applied.filter((name) => !known.has(name))
  if (strange.length > 0)
    return {
      check: 'schema',
      says: `it has had migrations that this version does not know: ${strange.join(', ')}`,
      next: 'use the version that made them',
    }
  const pending = tenantMigrations.filter(({ name }) => !had.has(name))
  const [first] = pending
  return first === undefined
    ? undefined
    : {
        check: 'schema',
        says: `${pending.length === 1 ? '1 migration is' : `${pending.length} migrations are`} pending: ${first.name}${pending.length > 1 ? ', …' : ''}`,
        next: `validonx tenant migrate ${tenant.slug}`,
      }
}

/** The template's schema without what only the template has. */
async function templateSnapshot(
  ctx: Context,
  provisioner: Provisioner,
): Promise<SchemaSnapshot | undefined> {
  if (!(await findSchemaScript(ctx, provisioner))) return undefined
  const database = templateDatabase(ctx.config.tenantPrefix)
  const snapshot = (await readSnapshots(provisioner, [database])).get(database) ?? new Map()
  return new Map([...snapshot].filter(([object]) => !isOf(object, SCRIPT_TABLE)))
}

const isOf = (object: string, table: string): boolean =>
  object === `table ${table}` || object.includes(` ${table}.`)

async function compareSchemas(
  provisioner: Provisioner,
  tenants: readonly Tenant[],
  template: SchemaSnapshot,
  groups: Map<string, { differences: SchemaChange[]; tenants: string[] }>,
  report: (tenant: Tenant, differences: readonly SchemaChange[]) => void,
): Promise<void> {
  for (let start = 0; start < tenants.length; start += SNAPSHOTS_AT_A_TIME) {
    const some = tenants.slice(start, start + SNAPSHOTS_AT_A_TIME)
    const snapshots = await readSnapshots(
      provisioner,
      some.map(({ database }) => database),
    )
    for (const tenant of some) {
      const snapshot = snapshots.get(tenant.database)
      if (!snapshot || snapshot.size === 0) continue
      const differences = inShort(changesBetween(template, snapshot))
      const key = JSON.stringify(differences)
      const group = groups.get(key) ?? { differences, tenants: [] }
      groups.set(key, group)
      group.tenants.push(tenant.slug)
      if (differences.length > 0) report(tenant, differences)
    }
  }
}

function driftFinding(
  slug: string,
  differences: readonly SchemaChange[],
  template: string,
  isPending: boolean,
): Finding {
  const named = differences.slice(0, 3).map((difference) => {
    const { before, after } = difference
    const detail =
      before === undefined || after === undefined ? '' : `: ${after}; the template has ${before}`
    return `${describeDrift(difference)}${detail}`
  })
  const more = differences.length - named.length
  return {
    check: 'drift',
    says: `${named.join('; ')}${more > 0 ? `; and ${more} more` : ''}`,
    next: isPending
      ? `${differences.every(({ after }) => after === undefined) ? '' : 'first, and look again: '}validonx tenant migrate ${slug}`
      : driftAdvice(differences, template),
  }
}

/** No migration makes up for a change by hand, so a person must. */
function driftAdvice(differences: readonly SchemaChange[], template: string): string {
  const [first] = differences.filter(({ before }) => before !== undefined)
  const [, kind, table] =
    /^(table|column|index|foreign key) ([^.]+)/.exec(first?.object ?? '') ?? []
  if (table === undefined) return 'once you know that nothing needs it, drop it by hand'
  const definition = `show create table ${quoteName(template)}.${quoteName(table)}`
  return kind === 'table' && first?.after === undefined
    ? `restore the table from a backup; it is made like this: ${definition}`
    : `alter the table by hand to be like the template's: ${definition}`
}

/** A difference from the template, as a person says it. */
export const describeDrift = ({ object, before, after }: SchemaChange): string =>
  after === undefined
    ? `missing ${object}`
    : before === undefined
      ? `extra ${object}`
      : `different ${object}`

function provisioningFindings(tenant: Tenant, now: Date): Finding[] {
  const next = `validonx tenant provision ${tenant.slug}`
  if (tenant.status === 'failed')
    return [
      {
        check: 'provisioning',
        says: `it failed: ${tenant.statusReason ?? 'no reason is known'}`,
        next,
      },
    ]
  const age = now.getTime() - tenant.createdAt.getTime()
  if (tenant.status === 'provisioning' && age > STUCK_AFTER_MS)
    return [
      {
        check: 'provisioning',
        says: `it began ${Math.round(age / 60_000)} minutes ago and never ended`,
        next,
      },
    ]
  return []
}

function trafficFindings({ slug }: Tenant, traffic: Traffic | undefined): Finding[] {
  const findings: Finding[] = []
  if ((traffic?.liveKeys ?? 0) === 0)
    findings.push({
      check: 'api key',
      says: 'no API key of it works',
      next: `validonx apikey create --tenant ${slug} --name replacement`,
    })
  const dead = traffic?.deadKeys ?? 0
  if (dead > 0)
    findings.push({
      check: 'api key',
      says: `${dead} of its API keys cannot be used: their application key is not configured`,
      next: 'put that key back into VALIDONX_APP_PREVIOUS_KEYS; to see which: validonx keyring status',
    })
  const broken = traffic?.endpoints.failing ?? 0
  if (broken > 0)
    findings.push({
      check: 'webhooks',
      says: `${plural(broken, 'webhook endpoint')} of it ${broken === 1 ? 'fails' : 'fail'}`,
      next: `to see which: validonx webhook list --tenant ${slug}`,
    })
  return findings
}

/** What is there and belongs to no tenant. */
async function strays(ctx: Context, tenants: readonly Tenant[]): Promise<FleetFinding[]> {
  const { tenantPrefix, platformDatabase } = ctx.config
  const databases = new Set([
    ...tenants.map(({ database }) => database),
    templateDatabase(tenantPrefix),
    platformDatabase,
  ])
  const users = new Set(tenants.map(({ databaseUser }) => databaseUser))
  const findings: FleetFinding[] = []
  const seen = new Set<string>()
  for (const { server } of await listServers(ctx.platform)) {
    try {
      const provisioner = await ctx.provisioner(server)
      for (const name of await listDatabases(provisioner, tenantPrefix)) {
        if (databases.has(name) || seen.has(name)) continue
        seen.add(name)
        findings.push(await strayDatabase(provisioner, name, server, tenantPrefix))
      }
      const found = await listTenantUsers(provisioner)
      if (!found) findings.push(await unseen(server, provisioner, 'users', 'select on mysql.user'))
      for (const { user, hosts } of found ?? []) {
        // another platform on the same server has users of its own
        if (users.has(user) || !(await grantsOn(provisioner, user, tenantPrefix))) continue
        const accounts = hosts.map((host) => quoteUser(user, host))
        findings.push({
          kind: 'orphan user',
          name: user,
          says: `user "${user}" on "${server.name}" may use a tenant database and belongs to no tenant`,
          next: `once you know that nothing needs it: drop user ${accounts.join(', ')}`,
        })
      }
    } catch (thrown) {
      findings.push({
        kind: 'not seen',
        name: server.name,
        says: asAppError(thrown).message,
        next: `for database server "${server.name}": validonx doctor`,
      })
    }
  }
  for (const name of await findStaleLeases(ctx.platform, ctx.lease.holder)) {
    findings.push({
      kind: 'stale lease',
      name,
      says: `the process that holds "${name}" is dead`,
      next: 'it ends when its time is over; to end it now: validonx tenant health --all --fix',
      remedy: 'end lease',
    })
  }
  return findings
}

async function grantsOn(provisioner: Provisioner, user: string, prefix: string): Promise<boolean> {
  const pattern = prefix.replaceAll(/[\\_%]/g, (character) => `\\${character}`)
  const rows = await provisioner.rows(
    'select 1 from mysql.db where user = ? and (left(db, ?) = ? or left(db, ?) = ?) limit 1',
    [user, prefix.length, prefix, pattern.length, pattern],
  )
  return rows.length > 0
}

async function strayDatabase(
  provisioner: Provisioner,
  name: string,
  server: DatabaseServer,
  prefix: string,
): Promise<FleetFinding> {
  if (name.startsWith(scratchPrefix(prefix)))
    return {
      kind: 'scratch database',
      name,
      says: `scratch database "${name}" on "${server.name}" was left behind`,
      next: 'to drop it: validonx tenant health --all --fix',
      remedy: 'drop scratch database',
    }
  const owner = await findOwner(provisioner, name)
  const mark =
    owner === undefined ? ' and has no owner marker' : `; its marker names tenant ID ${owner}`
  return {
    kind: 'orphan database',
    name,
    says: `database "${name}" on "${server.name}" belongs to no tenant${mark}`,
    next: `find out whose it is and back it up; then: drop database ${quoteName(name)}`,
  }
}

/** The tenant that the database's mark names, if it bears one. */
async function findOwner(provisioner: Provisioner, database: string): Promise<string | undefined> {
  try {
    const [row] = await provisioner.rows<{ tenant_id: string }>(
      `select tenant_id from ${quoteName(database)}.${OWNER_TABLE} limit 1`,
    )
    return row?.tenant_id
  } catch (error) {
    if (isFailure(error, ...OF_ONE_DATABASE)) return undefined
    throw error
  }
}

const withoutTemplate = ({ name }: DatabaseServer): FleetFinding => ({
  kind: 'template',
  name,
  says: `database server "${name}" has no template at the newest schema, so that drift cannot be seen`,
  next: 'validonx init',
})

async function unseen(
  { name }: DatabaseServer,
  provisioner: Provisioner,
  what: string,
  privilege: string,
): Promise<FleetFinding> {
  const [row] = await provisioner.rows<{ account: string }>('select current_user() as account')
  const [user = '', host = ''] = (row?.account ?? '').split(/@(?=[^@]*$)/)
  return {
    kind: 'not seen',
    name,
    says: `${what} on "${name}" cannot be seen by this login`,
    next: `as an administrator of that server: grant ${privilege} to ${quoteUser(user, host)}`,
  }
}
