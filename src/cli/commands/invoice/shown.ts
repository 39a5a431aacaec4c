import type { Invoice } from '../../../core/billing/invoice.js'

export const invoiceJson = (invoice: Invoice, tenant: string) => ({
  id: invoice.id,
  number: invoice.number,
  tenant,
  status: invoice.status,
  period_start: invoice.periodStart,
  period_end: invoice.periodEnd,
  currency: invoice.currency,
  total_cents: invoice.totalCents,
  issued_at: invoice.issuedAt,
  due_at: invoice.dueAt ?? null,
  lines: invoice.lines.map((line) => ({
    description: line.description,
    code: line.code ?? null,
    quantity: line.quantity,
    unit_price_cents: line.unitPriceCents,
    amount_cents: line.amountCents,
  })),
})

export const periodText = ({ periodStart, periodEnd }: Invoice): string =>
  `${periodStart.toISOString().slice(0, 10)} to ${periodEnd.toISOString().slice(0, 10)}`
