import { Command } from 'commander'
import { version } from '../core/version.js'
import { createGroup } from './command.js'
import { activationList } from './commands/activation/list.js'
import { activationRevoke } from './commands/activation/revoke.js'
import { apiKeyCreate } from './commands/apikey/create.js'
import { apiKeyList } from './commands/apikey/list.js'
import { apiKeyRevoke } from './commands/apikey/revoke.js'
import { apiKeyRotate } from './commands/apikey/rotate.js'
import { auditAnchor } from './commands/audit/anchor.js'
import { auditExport } from './commands/audit/export.js'
import { auditPrune } from './commands/audit/prune.js'
import { auditTail } from './commands/audit/tail.js'
import { auditVerify } from './commands/audit/verify.js'
import { billingRun } from './commands/billing/run.js'
import { config } from './commands/config.js'
import { devDemo } from './commands/dev/demo.js'
import { devStatus } from './commands/dev/status.js'
import { devStop } from './commands/dev/stop.js'
import { doctor } from './commands/doctor.js'
import { init } from './commands/init.js'
import { invoiceList } from './commands/invoice/list.js'
import { invoiceShow } from './commands/invoice/show.js'
import { keyringRetire } from './commands/keyring/retire.js'
import { keyringStatusCommand } from './commands/keyring/status.js'
import { licenseIssue } from './commands/license/issue.js'
import { licenseList } from './commands/license/list.js'
import {
  licenseReinstate,
  licenseRenew,
  licenseRevoke,
  licenseSuspend,
} from './commands/license/move.js'
import { licenseShow } from './commands/license/show.js'
import { licenseWhy } from './commands/license/why.js'
import { memberAdd } from './commands/member/add.js'
import { memberList } from './commands/member/list.js'
import { memberRemove } from './commands/member/remove.js'
import { memberRole } from './commands/member/role.js'
import { migrationLint } from './commands/migration/lint.js'
import { migrationMake } from './commands/migration/make.js'
import { planList } from './commands/plan/list.js'
import { planShow } from './commands/plan/show.js'
import { rateLimitReset } from './commands/ratelimit/reset.js'
import { rateLimitShow } from './commands/ratelimit/show.js'
import { serve } from './commands/serve.js'
import { serverAdd } from './commands/server/add.js'
import { serverList } from './commands/server/list.js'
import { serverTls } from './commands/server/tls.js'
import { subscriptionChange } from './commands/subscription/change.js'
import { subscriptionOverride } from './commands/subscription/override.js'
import { subscriptionShow } from './commands/subscription/show.js'
import { tenantArchive } from './commands/tenant/archive.js'
import { tenantHealth } from './commands/tenant/health.js'
import { tenantList } from './commands/tenant/list.js'
import { tenantMigrate } from './commands/tenant/migrate.js'
import { tenantProvision } from './commands/tenant/provision.js'
import { tenantReinstate } from './commands/tenant/reinstate.js'
import { rolloutShow } from './commands/tenant/rollout.js'
import { tenantRollouts } from './commands/tenant/rollouts.js'
import { tenantShow } from './commands/tenant/show.js'
import { tenantSuspend } from './commands/tenant/suspend.js'
import { tenantUnarchive } from './commands/tenant/unarchive.js'
import { tokenCreate } from './commands/token/create.js'
import { tokenList } from './commands/token/list.js'
import { tokenRevoke } from './commands/token/revoke.js'
import { usageRebuild } from './commands/usage/rebuild.js'
import { usageSnapshot } from './commands/usage/snapshot.js'
import { userCreate } from './commands/user/create.js'
import { userDisable } from './commands/user/disable.js'
import { userEnable } from './commands/user/enable.js'
import { userList } from './commands/user/list.js'
import { userPassword } from './commands/user/password.js'
import { webhookDeliveries } from './commands/webhook/deliveries.js'
import { webhookList } from './commands/webhook/list.js'
import { webhookRedeliver } from './commands/webhook/redeliver.js'
import { webhookTest } from './commands/webhook/test.js'
import type { Runtime } from './runtime.js'

/**
 * All that validonx can do, on one screen. A factory: commander keeps what it has parsed.
 *
 * @param print prints help and the version
 */
export function createProgram(
  runtime: Runtime,
  print: (text: string) => void = (text) => runtime.stdout.write(text),
): Command {
  const program = new Command('validonx')
    .description(
      'Administers a licensing platform that gives each tenant a MySQL database of its own.',
    )
    .version(version)
    .commandsGroup('Start:')
    .addCommand(init(runtime))
    .addCommand(
      createGroup('dev', 'the embedded database server and the demo', [
        devDemo(runtime),
        devStatus(runtime),
        devStop(runtime),
      ]),
    )
    .addCommand(config(runtime))
    .addCommand(doctor(runtime))
    .commandsGroup('Tenants:')
    .addCommand(
      createGroup('tenant', 'tenants and their databases', [
        tenantProvision(runtime),
        tenantList(runtime),
        tenantShow(runtime),
        tenantSuspend(runtime),
        tenantReinstate(runtime),
        tenantArchive(runtime),
        tenantUnarchive(runtime),
        tenantMigrate(runtime),
        tenantHealth(runtime),
        tenantRollouts(runtime),
        createGroup('rollout', 'one rollout of migrations', [rolloutShow(runtime)]),
      ]),
    )
    .addCommand(
      createGroup('server', 'database servers that hold tenants', [
        serverAdd(runtime),
        serverList(runtime),
        serverTls(runtime),
      ]),
    )
    .addCommand(
      createGroup('migration', 'files of migrations', [
        migrationMake(runtime),
        migrationLint(runtime),
      ]),
    )
    .commandsGroup('Access:')
    .addCommand(
      createGroup('apikey', 'API keys of tenants', [
        apiKeyCreate(runtime),
        apiKeyList(runtime),
        apiKeyRotate(runtime),
        apiKeyRevoke(runtime),
      ]),
    )
    .addCommand(
      createGroup('user', 'people who run tenants', [
        userCreate(runtime),
        userList(runtime),
        userPassword(runtime),
        userDisable(runtime),
        userEnable(runtime),
      ]),
    )
    .addCommand(
      createGroup('member', 'which user may do what in which tenant', [
        memberAdd(runtime),
        memberList(runtime),
        memberRole(runtime),
        memberRemove(runtime),
      ]),
    )
    .addCommand(
      createGroup('token', 'tokens of users for the Tenant API', [
        tokenCreate(runtime),
        tokenList(runtime),
        tokenRevoke(runtime),
      ]),
    )
    .addCommand(
      createGroup('keyring', 'the application key and its predecessors', [
        keyringStatusCommand(runtime),
        keyringRetire(runtime),
      ]),
    )
    .addCommand(
      createGroup('ratelimit', 'how much of their limits callers have used', [
        rateLimitShow(runtime),
        rateLimitReset(runtime),
      ]),
    )
    .commandsGroup('Licensing:')
    .addCommand(
      createGroup('license', "a tenant's licenses", [
        licenseIssue(runtime),
        licenseList(runtime),
        licenseShow(runtime),
        licenseWhy(runtime),
        licenseSuspend(runtime),
        licenseReinstate(runtime),
        licenseRenew(runtime),
        licenseRevoke(runtime),
      ]),
    )
    .addCommand(
      createGroup('activation', 'instances that use licenses', [
        activationList(runtime),
        activationRevoke(runtime),
      ]),
    )
    .addCommand(
      createGroup('usage', 'what was used', [usageRebuild(runtime), usageSnapshot(runtime)]),
    )
    .addCommand(
      createGroup('plan', 'what tenants may subscribe to', [planList(runtime), planShow(runtime)]),
    )
    .addCommand(
      createGroup('subscription', 'which plan a tenant has', [
        subscriptionShow(runtime),
        subscriptionChange(runtime),
        subscriptionOverride(runtime),
      ]),
    )
    .addCommand(
      createGroup('invoice', 'what closed periods cost', [
        invoiceList(runtime),
        invoiceShow(runtime),
      ]),
    )
    .addCommand(createGroup('billing', 'closing periods', [billingRun(runtime)]))
    .commandsGroup('Trail:')
    .addCommand(
      createGroup('audit', 'what was done, and by whom', [
        auditTail(runtime),
        auditVerify(runtime),
        auditAnchor(runtime),
        auditExport(runtime),
        auditPrune(runtime),
      ]),
    )
    .addCommand(
      createGroup('webhook', 'where tenants are told of events', [
        webhookList(runtime),
        webhookTest(runtime),
        webhookDeliveries(runtime),
        webhookRedeliver(runtime),
      ]),
    )
    .commandsGroup('Run:')
    .addCommand(serve(runtime))
    .addHelpText(
      'after',
      '\nExamples:\n  # see it work, with a database server of its own\n  $ validonx dev demo\n  # a tenant, its database and its first API key\n  $ validonx tenant provision acme\n',
    )
  return settle(program, runtime, print)
}

/** Output through the runtime's streams, and errors thrown rather than the process left, all the way down. */
function settle(command: Command, runtime: Runtime, print: (text: string) => void): Command {
  command.exitOverride().configureOutput({
    writeOut: print,
    writeErr: (text) => runtime.stderr.write(text),
    getOutHelpWidth: () => runtime.stdout.columns ?? 80,
    getErrHelpWidth: () => runtime.stderr.columns ?? 80,
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  })
  for (const child of command.commands) settle(child, runtime, print)
  return command
}
