import { toInvoiceObject } from '../../../core/billing/invoice.js'
import { findInvoice } from '../../../core/billing/invoice-store.js'
import { AppError } from '../../../core/errors.js'
import { findTenantById } from '../../../core/tenants/tenant-store.js'
import { anyCaseId, createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { formatFields, formatTable } from '../../terminal.js'
import { money } from '../plan/shown.js'
import { periodText } from './shown.js'

export const invoiceShow = (runtime: Runtime) =>
  createCommand({
    name: 'show',
    about: 'show an invoice with its lines',
    examples: [['invoice show INV-2026-000001', 'by its number']],
  })
    .argument('<number>', 'its number, or its id', anyCaseId)
    .action(
      withContext(runtime, async ({ ctx, terminal }, number: string) => {
        const invoice = await findInvoice(ctx.platform, number)
        if (!invoice) throw new AppError('INVOICE.NOT_FOUND', number)
        const slug = (await findTenantById(ctx.platform, invoice.tenantId))?.slug ?? '-'
        const { currency } = invoice
        await terminal.record({ tenant: slug, ...toInvoiceObject(invoice) }, () =>
          [
            formatFields([
              ['invoice', invoice.number],
              ['tenant', slug],
              ['period', periodText(invoice)],
              ['status', invoice.status],
              ['issued', invoice.issuedAt.toISOString().slice(0, 10)],
              ['due', invoice.dueAt?.toISOString().slice(0, 10)],
              ['total', money(invoice.totalCents, currency)],
            ]),
            '',
            formatTable(
              ['what', 'quantity', 'price', 'amount'],
              invoice.lines.map((line) => [
                line.description,
                String(line.quantity),
                money(line.unitPriceCents, currency),
                money(line.amountCents, currency),
              ]),
            ),
          ].join('\n'),
        )
      }),
    )
