import type { IdempotentResult } from '../../../core/db/idempotency.js'
import {
  reinstateLicense,
  renewLicense,
  revokeLicense,
  suspendLicense,
} from '../../../core/licensing/change-license.js'
import { type LicenseOfProduct, toLicenseObject } from '../../../core/licensing/license-record.js'
import { enterTenant, type TenantScope } from '../../../core/tenants/scope.js'
import { createCommand, type Example } from '../../command.js'
import { readCount } from '../../durations.js'
import { type Runtime, type Session, withContext } from '../../runtime.js'
import { formatFields } from '../../terminal.js'
import { licenseFields } from './shown.js'

type Options = { readonly tenant: string; readonly yes?: true }

const show = (
  { terminal }: Pick<Session, 'terminal'>,
  scope: TenantScope,
  { result: { license, product } }: IdempotentResult<LicenseOfProduct>,
): Promise<void> =>
  terminal.record(toLicenseObject({ license, product }, scope.now()), () =>
    formatFields(licenseFields(license, product, scope.now())),
  )

const base = (name: string, about: string, examples: readonly Example[]) =>
  createCommand({ name, about, examples, fields: { expires_at: '--expires', id: 'key' } })
    .argument('<key>', 'the license key, or its id')
    .requiredOption('--tenant <slug>', 'the tenant')

export const licenseSuspend = (runtime: Runtime) =>
  base('suspend', 'close a license until it is reinstated; its activations stay', [
    ['license suspend 9ZFM-ZEM4-VKWY-B3XE --tenant acme', 'it no longer validates'],
  ]).action(
    withContext(runtime, async (session, key: string, { tenant }: Options) => {
      const scope = await enterTenant(session.ctx, tenant)
      await show(session, scope, await suspendLicense(scope, key))
    }),
  )

export const licenseReinstate = (runtime: Runtime) =>
  base('reinstate', 'end the suspension of a license', [
    ['license reinstate 9ZFM-ZEM4-VKWY-B3XE --tenant acme', 'it validates again'],
  ]).action(
    withContext(runtime, async (session, key: string, { tenant }: Options) => {
      const scope = await enterTenant(session.ctx, tenant)
      await show(session, scope, await reinstateLicense(scope, key))
    }),
  )

export const licenseRevoke = (runtime: Runtime) =>
  base('revoke', 'end a license for good, and its activations with it', [
    ['license revoke 9ZFM-ZEM4-VKWY-B3XE --tenant acme', 'asks first; --yes does not'],
  ])
    .option('--yes', 'do not ask')
    .action(
      withContext(runtime, async (session, key: string, { tenant, yes }: Options) => {
        const question = `Revoke license "${key}" for good?`
        if (!yes && !(await session.terminal.confirm(question, '--yes')))
          return session.terminal.note('Nothing was done.')
        const scope = await enterTenant(session.ctx, tenant)
        await show(session, scope, await revokeLicense(scope, key))
      }),
    )

type RenewOptions = Options & { readonly expires?: string; readonly days?: string }

export const licenseRenew = (runtime: Runtime) =>
  base('renew', 'move the end of a license; one that has expired is renewed from now on', [
    ['license renew 9ZFM-ZEM4-VKWY-B3XE --tenant acme', "by the tenant's default"],
    ['license renew 9ZFM-ZEM4-VKWY-B3XE --tenant acme --days 30', 'by 30 days'],
    ['license renew 9ZFM-ZEM4-VKWY-B3XE --tenant acme --expires 2027-12-31', 'to a date'],
  ])
    .option('--expires <time>', 'the new end: a date or an RFC 3339 time')
    .option('--days <days>', 'so many days more')
    .action(
      withContext(runtime, async (session, key: string, options: RenewOptions) => {
        const scope = await enterTenant(session.ctx, options.tenant)
        const renewed = await renewLicense(scope, key, {
          ...(options.expires ? { expires_at: options.expires } : {}),
          ...(options.days ? { days: readCount(options.days, '--days') } : {}),
        })
        await show(session, scope, renewed)
      }),
    )
