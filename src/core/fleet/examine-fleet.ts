import { tenantMigrations } from '../../../migrations/tenant/index.js'
import { listPlans } from '../billing/plan-store.js'
import type { Context } from '../context.js'
import { OWNER_TABLE } from '../db/ownership.js'
import type { Provisioner } from '../db/provisioner.js'
import { AppError, asAppError } from '../errors.js'
import type { DatabaseServer } from '../servers/database-server.js'
import { listServers } from '../servers/database-server-store.js'
import type { Tenant } from '../tenants/tenant.js'
import { listTenants } from '../tenants/tenant-store.js'
import { examineTenant } from './examine-tenant.js'
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
import { type Ledger, readLedgers } from './ledger.js'
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
  const sites = await examineServers(ctx, open, add)
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
async function examineServers(ctx: Context, tenants: readonly Tenant[], add: Add): Promise<Sites> {
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
      await examineLedgers(provisioner, own, add)
      const template = await templateSnapshot(ctx, provisioner)
      if (template) await compareSchemas(provisioner, own, template, groups, add)
      else findings.push(withoutTemplate(server))
      const found = await readSizes(provisioner, ctx.config.tenantPrefix)
      for (const [database, size] of found ?? []) sizes.set(database, size)
      if (!found) findings.push(unseen(server, 'sizes', 'PROCESS'))
    } catch (thrown) {
      const says = asAppError(thrown).message
      for (const { id } of own)
        add(id, { check: 'schema', says, next: `look at database server "${server.name}"` })
    }
  }
  const drift = [...groups.values()].sort((one, other) => other.tenants.length - one.tenants.length)
  return { drift, sizes, findings }
}

async function examineLedgers(
  provisioner: Provisioner,
  tenants: readonly Tenant[],
  add: Add,
): Promise<void> {
  const ledgers = await readLedgers(
    provisioner,
    tenants.map(({ database }) => database),
  )
  for (const tenant of tenants) {
    const finding = ledgerFinding(tenant, ledgers.get(tenant.database))
    if (finding) add(tenant.id, finding)
  }
}

function ledgerFinding(tenant: Tenant, ledger: Ledger | AppError | undefined): Finding | undefined {
  if (!ledger || ledger instanceof AppError)
    return {
      check: 'schema',
      says: 'its ledger of migrations cannot be read',
      next: `validonx tenant show ${tenant.slug}`,
    }
  const had = new Set(ledger.applied)
  const pending = tenantMigrations.filter(({ name }) => !had.has(name))
  if (pending.length > 0)
    return {
      check: 'schema',
      says: `${pending.length} migrations are pending: ${pending[0]?.name}${pending.length > 1 ? ', …' : ''}`,
      next: `validonx tenant migrate ${tenant.slug}`,
    }
  const known = new Set(tenantMigrations.map(({ name }) => name))
  const strange = ledger.applied.filter((name) => !known.has(name))
  return strange.length === 0
    ? undefined
    : {
        check: 'schema',
        says: `it has had migrations that this version does not know: ${strange.join(', ')}`,
        next: 'use the version that made them',
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
  add: Add,
): Promise<void> {
  for (let start = 0; start < tenants.length; start += SNAPSHOTS_AT_A_TIME) {
    const some = tenants.slice(start, start + SNAPSHOTS_AT_A_TIME)
    const snapshots = await readSnapshots(
      provisioner,
      some.map(({ database }) => database),
    )
    for (const { id, slug, database } of some) {
      const snapshot = snapshots.get(database)
      if (!snapshot || snapshot.size === 0) continue
      const differences = inShort(changesBetween(template, snapshot))
      const key = JSON.stringify(differences)
      const group = groups.get(key) ?? { differences, tenants: [] }
      groups.set(key, group)
      group.tenants.push(slug)
      if (differences.length > 0) add(id, driftFinding(slug, differences))
    }
  }
}

function driftFinding(slug: string, differences: readonly SchemaChange[]): Finding {
  const named = differences.slice(0, 3).map(describeDrift)
  return {
    check: 'drift',
    says: `${named.join('; ')}${differences.length > 3 ? `; and ${differences.length - 3} more` : ''}`,
    next: `compare it with a tenant that is well: validonx tenant health ${slug} --json`,
  }
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
      next: `validonx apikey create --tenant ${slug}`,
    })
  const dead = traffic?.deadKeys ?? 0
  if (dead > 0)
    findings.push({
      check: 'api key',
      says: `${dead} of its API keys cannot be used: their application key is not configured`,
      next: 'validonx keyring status shows which; put the key back into VALIDONX_APP_PREVIOUS_KEYS',
    })
  const broken = traffic?.endpoints.failing ?? 0
  if (broken > 0)
    findings.push({
      check: 'webhooks',
      says: `${broken} of its webhook endpoints fail`,
      next: 'look at their last answers',
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
        findings.push(strayDatabase(name, server, tenantPrefix))
      }
      const found = await listTenantUsers(provisioner)
      if (!found) findings.push(unseen(server, 'users', 'SELECT on mysql.user'))
      for (const user of found ?? []) {
        // another platform on the same server has users of its own
        if (users.has(user) || !(await grantsOn(provisioner, user, tenantPrefix))) continue
        findings.push({
          kind: 'orphan user',
          name: user,
          says: `user "${user}" on "${server.name}" may use a tenant database and belongs to no tenant`,
          next: `drop user '${user}', once you know that nobody needs it`,
        })
      }
    } catch (thrown) {
      findings.push({
        kind: 'not seen',
        name: server.name,
        says: asAppError(thrown).message,
        next: `look at database server "${server.name}"`,
      })
    }
  }
  for (const name of await findStaleLeases(ctx.platform, ctx.lease.holder)) {
    findings.push({
      kind: 'stale lease',
      name,
      says: `the process that holds "${name}" is dead`,
      next: 'validonx tenant health --fix ends it; it ends by itself too',
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

function strayDatabase(name: string, server: DatabaseServer, prefix: string): FleetFinding {
  if (name.startsWith(scratchPrefix(prefix)))
    return {
      kind: 'scratch database',
      name,
      says: `scratch database "${name}" on "${server.name}" was left behind`,
      next: 'validonx tenant health --fix drops it',
      remedy: 'drop scratch database',
    }
  return {
    kind: 'orphan database',
    name,
    says: `database "${name}" on "${server.name}" belongs to no tenant`,
    next: `look at its ${OWNER_TABLE} table for whose it was, back it up, and drop it`,
  }
}

const withoutTemplate = ({ name }: DatabaseServer): FleetFinding => ({
  kind: 'template',
  name,
  says: `database server "${name}" has no template at the newest schema, so that drift cannot be seen`,
  next: 'validonx init',
})

const unseen = ({ name }: DatabaseServer, what: string, privilege: string): FleetFinding => ({
  kind: 'not seen',
  name,
  says: `${what} on "${name}" cannot be seen by this login`,
  next: `grant it ${privilege}`,
})
