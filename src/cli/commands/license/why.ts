import { AppError } from '../../../core/errors.js'
import { explain, judge, readLicenseKey } from '../../../core/licensing/license.js'
import { findLicense } from '../../../core/licensing/license-store.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatTable } from '../../terminal.js'

export const licenseWhy = (runtime: Runtime) =>
  createCommand({
    name: 'why',
    about: 'show why a license is valid or not: every check with the values compared',
    examples: [['license why 9ZFM-ZEM4-VKWY-B3XE --tenant acme', 'what "?explain=true" answers']],
  })
    .argument('<key>', 'the license key')
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(runtime, async ({ ctx, terminal }, key: string, options: { tenant: string }) => {
        const scope = await enterTenant(ctx, options.tenant)
        const stored = readLicenseKey(key)
        const license = stored === undefined ? undefined : await findLicense(scope, stored)
        if (!license) throw new AppError('LICENSE.NOT_FOUND')
        const { valid, code } = judge(license, scope.now())
        const checks = explain(license, scope.now())
        await terminal.record({ valid, code, checks }, () =>
          [
            `${license.key} is ${valid ? 'valid' : 'not valid'}: ${code}`,
            '',
            formatTable(
              ['check', 'passed', 'value', 'compared with'],
              checks.map((each) => [
                each.check,
                each.passed ? 'yes' : 'no',
                String(each.value ?? '-'),
                each.compared_with ?? '-',
              ]),
            ),
          ].join('\n'),
        )
      }),
    )
