import type { PlatformDb } from '../db/connect.js'
import { type Bindable, insertRow, insertRows, rowsOf } from '../db/statements.js'
import { newId } from '../ids.js'
import type { Invoice, InvoiceLine, InvoiceStatus } from './invoice.js'

type Row = {
  id: string
  tenant_id: string
  subscription_id: string
  number: string
  status: InvoiceStatus
  period_start: Date
  period_end: Date
  currency: string
  total_cents: number | string
  issued_at: Date
  due_at: Date | null
  paid_at: Date | null
}

type LineRow = {
  invoice_id: string
  description: string
  code: string | null
  quantity: number | string
  unit_price_cents: number | string
  amount_cents: number | string
}

const COLUMNS =
  'id, tenant_id, subscription_id, number, status, period_start, period_end, currency, total_cents, issued_at, due_at, paid_at'

const toInvoice = (row: Row, lines: readonly InvoiceLine[]): Invoice => ({
  id: row.id,
  tenantId: row.tenant_id,
  subscriptionId: row.subscription_id,
  number: row.number,
  status: row.status,
  periodStart: row.period_start,
  periodEnd: row.period_end,
  currency: row.currency,
  totalCents: Number(row.total_cents),
  issuedAt: row.issued_at,
  dueAt: row.due_at ?? undefined,
  paidAt: row.paid_at ?? undefined,
  lines,
})

const toLine = (row: LineRow): InvoiceLine => ({
  description: row.description,
  code: row.code ?? undefined,
  quantity: Number(row.quantity),
  unitPriceCents: Number(row.unit_price_cents),
  amountCents: Number(row.amount_cents),
})

export type InvoiceFilter = {
  readonly tenantId?: string | undefined
  readonly status?: InvoiceStatus | undefined
  readonly beforeId?: string | undefined
  readonly limit: number
}

/** Newest first, with their lines. */
export async function listInvoices(
  db: PlatformDb,
  { tenantId, status, beforeId, limit }: InvoiceFilter,
): Promise<Invoice[]> {
  const conditions: [string, Bindable][] = []
  if (tenantId !== undefined) conditions.push(['tenant_id = ?', tenantId])
  if (status !== undefined) conditions.push(['status = ?', status])
  if (beforeId !== undefined) conditions.push(['id < ?', beforeId])
  const where = conditions.map(([condition]) => condition).join(' and ') || 'true'
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from invoices where ${where} order by id desc limit ?`,
    [...conditions.map(([, value]) => value), limit],
  )
  return withLines(db, rows)
}

/** By id or by number, of one tenant where one is named. */
export async function findInvoice(
  db: PlatformDb,
  name: string,
  tenantId?: string,
): Promise<Invoice | undefined> {
  const rows = await rowsOf<Row>(
    db,
    `select ${COLUMNS} from invoices where (id = ? or number = ?)${tenantId === undefined ? '' : ' and tenant_id = ?'}`,
    [name, name, ...(tenantId === undefined ? [] : [tenantId])],
  )
  return (await withLines(db, rows))[0]
}

async function withLines(db: PlatformDb, rows: readonly Row[]): Promise<Invoice[]> {
  if (rows.length === 0) return []
  const lines = await rowsOf<LineRow>(
    db,
    `select invoice_id, description, code, quantity, unit_price_cents, amount_cents from invoice_lines
      where invoice_id in (${rows.map(() => '?').join(', ')}) order by invoice_id, position`,
    rows.map(({ id }) => id),
  )
  return rows.map((row) =>
    toInvoice(row, lines.filter((line) => line.invoice_id === row.id).map(toLine)),
  )
}

/** `INV-2026-000001`: without gaps within a year, as long as one process at a time asks. */
export async function nextInvoiceNumber(db: PlatformDb, at: Date): Promise<string> {
  const prefix = `INV-${at.getUTCFullYear()}-`
  const [row] = await rowsOf<{ last: string }>(
    db,
    'select number as last from invoices where number like ? order by length(number) desc, number desc limit 1',
    [`${prefix}%`],
  )
  const last = row ? Number(row.last.slice(prefix.length)) : 0
  return `${prefix}${String(last + 1).padStart(6, '0')}`
}

/** @throws the driver's duplicate error where the period has an invoice, or the number is taken */
export async function insertInvoice(db: PlatformDb, invoice: Invoice): Promise<void> {
  await insertRow(db, 'invoices', {
    id: invoice.id,
    tenant_id: invoice.tenantId,
    subscription_id: invoice.subscriptionId,
    number: invoice.number,
    status: invoice.status,
    period_start: invoice.periodStart,
    period_end: invoice.periodEnd,
    currency: invoice.currency,
    total_cents: invoice.totalCents,
    issued_at: invoice.issuedAt,
    due_at: invoice.dueAt ?? null,
    paid_at: invoice.paidAt ?? null,
    created_at: invoice.issuedAt,
    updated_at: invoice.issuedAt,
  })
  await insertRows(
    db,
    'invoice_lines',
    invoice.lines.map((line, index) => ({
      id: newId(),
      invoice_id: invoice.id,
      position: index + 1,
      description: line.description.slice(0, 255),
      code: line.code ?? null,
      quantity: line.quantity,
      unit_price_cents: line.unitPriceCents,
      amount_cents: line.amountCents,
      created_at: invoice.issuedAt,
    })),
  )
}
