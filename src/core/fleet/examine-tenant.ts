import type { Connection } from 'mysql2'
import { settingSeeds } from '../../../seeds/tenant/defaults.js'
import type { Plan } from '../billing/plan.js'
import type { Context } from '../context.js'
import { isLoginRefused, readTraitsOn } from '../db/database-account.js'
import { quoteName } from '../db/sql.js'
import { runOn } from '../db/statements.js'
import { causeOf, type FailureKind } from '../driver-failure.js'
import { countedCodes } from '../entitlements/usage-counter-store.js'
import { AppError, asAppError } from '../errors.js'
import { plural } from '../plural.js'
import { getServerById } from '../servers/database-server-store.js'
import { placeOf } from '../tenants/scope.js'
import type { Tenant } from '../tenants/tenant.js'
import { USAGE_DIFFERENCES_SQL } from '../usage/rebuild-usage.js'
import type { Finding } from './health.js'
import { findKnexSessions } from './knex-lock.js'
import { findStrayRights } from './tenant-user.js'

type Standing = {
  settings: string | null
  entitlements: string | null
  counters: string | null
  branding: number
  differences: number
  knex_lock: number | null
}

const QUESTIONS = `select (select group_concat(name) from settings) as settings,
  (select group_concat(code) from entitlements) as entitlements,
  (select group_concat(code) from usage_counters where subject = 'tenant') as counters,
  (select count(*) from branding) as branding,
  (select count(*) from (${USAGE_DIFFERENCES_SQL}) differences) as differences,
  (select max(is_locked) from knex_migrations_lock) as knex_lock`

/**
 * What a tenant's own database user sees: whether it may log in, what it may do, whose the database is,
 * and whether what every tenant has is there. Two statements.
 */
export async function examineTenant(
  ctx: Context,
  tenant: Tenant,
  plan: Plan | undefined,
): Promise<Finding[]> {
  const findings: Finding[] = []
  let isLocked = false
  try {
    await ctx.tenantDatabases.lend(placeOf(tenant), async (connection) => {
      const stray = await findStrayRights(connection, tenant.database)
      if (stray !== undefined)
        findings.push({
          check: 'grants',
          says:
            stray === 'nothing' ? 'its user may not use its database' : `its user may: ${stray}`,
          next: `to grant exactly what is right: validonx tenant health ${tenant.slug} --fix`,
          remedy: 'grant again',
        })
      if (await mayExpire(connection))
        findings.push({
          check: 'login',
          says: "its user's password expires by the server's default_password_lifetime",
          next: `to exempt it: validonx tenant health ${tenant.slug} --fix`,
          remedy: 'grant again',
        })
      const [standing] = (await runOn(connection, QUESTIONS)) as unknown as Standing[]
      if (standing) findings.push(...findingsOf(standing, tenant, plan))
      isLocked = Number(standing?.knex_lock) === 1
    })
    if (isLocked) findings.push(await knexFinding(ctx, tenant))
  } catch (thrown) {
    findings.push(failureOf(thrown, tenant))
  }
  return findings
}

function findingsOf(standing: Standing, tenant: Tenant, plan: Plan | undefined): Finding[] {
  const findings: Finding[] = []
  const lacking = (has: string | null, wanted: readonly string[]) => {
    const present = new Set((has ?? '').split(','))
    return wanted.filter((name) => !present.has(name))
  }
  const next = `to add what is missing: validonx tenant health ${tenant.slug} --fix`
  for (const [check, missing] of [
    ['settings', lacking(standing.settings, Object.keys(settingSeeds))],
    ['branding', Number(standing.branding) > 0 ? [] : ['branding']],
    [
      'entitlements',
      lacking(standing.entitlements, plan?.entitlements.map(({ code }) => code) ?? []),
    ],
    ['usage counters', lacking(standing.counters, countedCodes(plan?.entitlements ?? []))],
  ] as const) {
    if (missing.length > 0)
      findings.push({
        check,
        says: `missing: ${missing.join(', ')}`,
        next,
        remedy: 'add missing defaults',
      })
  }
  if (Number(standing.differences) > 0)
    findings.push({
      check: 'usage counters',
      says: `${plural(Number(standing.differences), 'counter')} ${Number(standing.differences) === 1 ? "doesn't" : "don't"} match its recorded events`,
      next: `validonx usage rebuild --tenant ${tenant.slug}`,
      remedy: 'rebuild usage',
    })
  return findings
}

/** Whether the server's password lifetime applies to the user of this connection. */
async function mayExpire(connection: Connection): Promise<boolean> {
  const { passwordLifetime } = await readTraitsOn(connection)
  if (passwordLifetime === 0) return false
  const rows = (await runOn(connection, 'show create user current_user()')) as unknown as Record<
    string,
    string
  >[]
  return !rows.some((row) => /PASSWORD EXPIRE NEVER/.test(Object.values(row).join()))
}

const WHY: Partial<Record<FailureKind, string>> = {
  'password expired': ', its password has expired',
  'account locked': ', it is locked',
}

export function failureOf(thrown: unknown, tenant: Tenant): Finding {
  const cause = causeOf(thrown)
  if (thrown instanceof AppError && thrown.code === 'TENANT.DATABASE_NOT_OWNED')
    return {
      check: 'owner',
      says: 'its database does not carry the marker of this tenant',
      next: 'find out whose the data is before anything else is done',
    }
  if (isLoginRefused(thrown) || cause?.kind === 'privilege missing')
    return {
      check: 'login',
      says: `its user cannot log in${WHY[cause?.kind ?? 'other'] ?? ''}: ${cause?.sentence}`,
      next: `to make its login work again: validonx tenant health ${tenant.slug} --fix`,
      remedy: 'grant again',
    }
  if (thrown instanceof AppError && cause?.kind === 'missing') return lostDatabase(tenant)
  if (cause?.kind === 'missing' || cause?.kind === 'other')
    return {
      check: 'schema',
      says: cause.sentence,
      next: 'restore what is missing from a backup, unless a migration that is pending makes it',
    }
  // a state of the server, not of this tenant
  const error = asAppError(thrown)
  return { check: 'database', says: cause?.sentence ?? error.message, next: error.message }
}

export const lostDatabase = ({ slug, database }: Tenant): Finding => ({
  check: 'database',
  says: `its database "${database}" does not exist`,
  next: `restore it from a backup; if it is lost for good: validonx tenant archive ${slug}`,
})

/** A lock of Knex's own command: at work, or left over by a process that died. */
async function knexFinding(ctx: Context, { slug, database, serverId }: Tenant): Promise<Finding> {
  const provisioner = await ctx.provisioner(await getServerById(ctx.platform, serverId))
  const { sessions, mayLook } = await findKnexSessions(provisioner, database, provisioner.threads)
  const check = 'knex lock'
  if (sessions.length > 0)
    return {
      check,
      says: `the lock of Knex's own command is set, and ${sessions.join('; ')} is in its database`,
      next: 'wait for that command, or end it',
    }
  const says = "the lock of Knex's own command is set, and blocks that command"
  return mayLook
    ? {
        check,
        says: `${says}; no session is at work`,
        next: `to release it: validonx tenant health ${slug} --fix`,
        remedy: 'release knex lock',
      }
    : {
        check,
        says,
        next: `once no such command runs: update ${quoteName(database)}.knex_migrations_lock set is_locked = 0`,
      }
}
