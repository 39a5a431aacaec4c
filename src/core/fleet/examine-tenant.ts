import type { Connection } from 'mysql2'
import { settingSeeds } from '../../../seeds/tenant/defaults.js'
import type { Plan } from '../billing/plan.js'
import type { Context } from '../context.js'
import { isLoginRefused, readTraitsOn } from '../db/database-account.js'
import { runOn } from '../db/statements.js'
import { causeOf, type FailureKind } from '../driver-failure.js'
import { countedCodes } from '../entitlements/usage-counter-store.js'
import { AppError, asAppError } from '../errors.js'
import { placeOf } from '../tenants/scope.js'
import type { Tenant } from '../tenants/tenant.js'
import { USAGE_DIFFERENCES_SQL } from '../usage/rebuild-usage.js'
import type { Finding } from './health.js'
import { findStrayRights } from './tenant-user.js'

type Standing = {
  settings: string | null
  entitlements: string | null
  counters: string | null
  branding: number
  differences: number
}

const QUESTIONS = `select (select group_concat(name) from settings) as settings,
  (select group_concat(code) from entitlements) as entitlements,
  (select group_concat(code) from usage_counters where subject = 'tenant') as counters,
  (select count(*) from branding) as branding,
  (select count(*) from (${USAGE_DIFFERENCES_SQL}) differences) as differences`

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
  try {
    await ctx.tenantDatabases.lend(placeOf(tenant), async (connection) => {
      const stray = await findStrayRights(connection, tenant.database)
      if (stray !== undefined)
        findings.push({
          check: 'grants',
          says:
            stray === 'nothing' ? 'its user may not use its database' : `its user may: ${stray}`,
          next: `validonx tenant health ${tenant.slug} --fix takes all away and grants what is right`,
          remedy: 'grant again',
        })
      if (await mayExpire(connection))
        findings.push({
          check: 'login',
          says: "its user's password expires by the server's default_password_lifetime",
          next: `validonx tenant health ${tenant.slug} --fix exempts it`,
          remedy: 'grant again',
        })
      const [standing] = (await runOn(connection, QUESTIONS)) as unknown as Standing[]
      if (standing) findings.push(...findingsOf(standing, tenant, plan))
    })
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
  const next = 'validonx tenant health --fix adds what is missing'
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
      says: `${standing.differences} of its counters do not say what the events come to`,
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

function failureOf(thrown: unknown, tenant: Tenant): Finding {
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
      next: `validonx tenant health ${tenant.slug} --fix makes its login work again`,
      remedy: 'grant again',
    }
  if (thrown instanceof AppError && cause?.kind === 'missing')
    return {
      check: 'database',
      says: `its database "${tenant.database}" does not exist`,
      next: 'restore it from a backup: validonx makes no empty one in its place',
    }
  if (cause?.kind === 'missing' || cause?.kind === 'other')
    return {
      check: 'schema',
      says: cause.sentence,
      next: `validonx tenant migrate ${tenant.slug}`,
    }
  // a state of the server, not of this tenant
  const error = asAppError(thrown)
  return { check: 'database', says: cause?.sentence ?? error.message, next: error.message }
}
