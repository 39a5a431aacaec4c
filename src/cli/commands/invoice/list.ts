import { toInvoiceObject } from '../../../core/billing/invoice.js'
import { listInvoices } from '../../../core/billing/invoice-store.js'
import { findTenantById, getTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { readCount } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'
import { money } from '../plan/shown.js'
import { periodText } from './shown.js'

type Options = { readonly tenant?: string; readonly limit: string }

export const invoiceList = (runtime: Runtime) =>
  createCommand({
    name: 'list',
    about: 'list invoices, newest first',
    examples: [
      ['invoice list', 'of all tenants, the newest 50'],
      ['invoice list --tenant acme --json', 'of one tenant, with their lines'],
    ],
  })
    .option('--tenant <slug>', 'only those of this tenant')
    .option('--limit <count>', 'at most so many', '50')
    .action(
      withContext(runtime, async ({ ctx, terminal }, options: Options) => {
        const tenant =
          options.tenant === undefined ? undefined : await getTenant(ctx.platform, options.tenant)
        const invoices = await listInvoices(ctx.platform, {
          tenantId: tenant?.id,
          limit: readCount(options.limit, '--limit'),
        })
        const slugs = new Map<string, string>()
        for (const { tenantId } of invoices) {
          if (!slugs.has(tenantId))
            slugs.set(tenantId, (await findTenantById(ctx.platform, tenantId))?.slug ?? '-')
        }
        const slugOf = (tenantId: string) => slugs.get(tenantId) ?? '-'
        await terminal.rows(
          invoices,
          [
            { title: 'number', value: ({ number }) => number },
            { title: 'tenant', value: ({ tenantId }) => slugOf(tenantId) },
            { title: 'period', value: periodText },
            { title: 'total', value: (invoice) => money(invoice.totalCents, invoice.currency) },
            { title: 'status', value: ({ status }) => status },
          ],
          (invoice) => ({ tenant: slugOf(invoice.tenantId), ...toInvoiceObject(invoice) }),
        )
        if (invoices.length === 0)
          terminal.remark(
            options.tenant === undefined
              ? 'No invoices. "validonx billing run" makes them.'
              : `No invoices of "${options.tenant}". "validonx billing run" makes them.`,
          )
      }),
    )
