import { AppError } from '../../../core/errors.js'
import { listActivations } from '../../../core/licensing/activation-store.js'
import { readLicenseKey } from '../../../core/licensing/license.js'
import { findLicense } from '../../../core/licensing/license-store.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { createCommand } from '../../command.js'
import { readCount } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'

type Options = { readonly tenant: string; readonly license?: string; readonly limit: string }

export const activationList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: "list a tenant's activations, newest first",
    examples: [
      ['activation list --tenant acme --license 9ZFM-ZEM4-VKWY-B3XE', 'who uses this license'],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--license <key>', 'only those of this license')
    .option('--limit <count>', 'at most so many', '50')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: Options) => {
        const scope = await enterTenant(ctx, options.tenant)
        const { license: key } = options
        const stored = key === undefined ? undefined : readLicenseKey(key)
        const license = stored === undefined ? undefined : await findLicense(scope, stored)
        if (key !== undefined && !license) throw new AppError('LICENSE.NOT_FOUND')
        const activations = await listActivations(scope.db, {
          licenseId: license?.id,
          limit: readCount(options.limit, '--limit'),
        })
        await terminal.rows(
          activations,
          [
            { title: 'id', value: ({ id }) => id },
            { title: 'instance', value: ({ instanceId }) => instanceId },
            { title: 'status', value: ({ status }) => status },
            { title: 'since', value: ({ activatedAt }) => activatedAt.toISOString().slice(0, 10) },
          ],
          (activation) => ({
            id: activation.id,
            license_id: activation.licenseId,
            instance_id: activation.instanceId,
            status: activation.status,
            activated_at: activation.activatedAt,
            revoked_at: activation.revokedAt ?? null,
          }),
        )
        if (activations.length === 0)
          terminal.remark(
            license ? 'No activations of this license.' : 'No activations of this tenant.',
          )
      }),
    )
