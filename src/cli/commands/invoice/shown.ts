import type { Invoice } from '../../../core/billing/invoice.js'

export const periodText = ({ periodStart, periodEnd }: Invoice): string =>
  `${periodStart.toISOString().slice(0, 10)} to ${periodEnd.toISOString().slice(0, 10)}`
