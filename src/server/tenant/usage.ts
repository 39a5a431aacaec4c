import { z } from 'zod'
import {
  ListCountersQuery,
  ListSnapshotsQuery,
  ListUsageEventsQuery,
  pageCounters,
  pageSnapshots,
  pageUsageEvents,
  toTotalObject,
} from '../../core/usage/read-usage.js'
import type { RecordedUsage } from '../../core/usage/usage-store.js'
import { id, json, pageData, pageOf, time } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const totalObject = z.strictObject({
  code: z.string(),
  license_id: id.nullable().describe('Null: the tenant as a whole'),
  value: z.number(),
  limit: z.number().nullable().describe('Null: unlimited, or set by the license'),
  period_start: time.nullable().describe('Null: what exists now'),
  period_end: time.nullable(),
})

const eventObject = z.strictObject({
  id,
  license_id: id,
  code: z.string(),
  quantity: z.number(),
  metadata: json,
  recorded_at: time,
})

const toEventObject = (event: RecordedUsage) => ({
  id: event.id,
  license_id: event.licenseId,
  code: event.code,
  quantity: event.quantity,
  metadata: event.metadata,
  recorded_at: event.recordedAt,
})

const tag = 'tenant: usage'
const permission = 'usage.read'

export const usageOperations: readonly TenantOperation[] = [
  {
    id: 'listUsageCounters',
    method: 'get',
    path: '/usage/counters',
    tag,
    permission,
    summary: 'List usage counters',
    description:
      'Where the tenant stands against its limits, and what each license used in each calendar month (UTC).',
    query: ListCountersQuery,
    answers: { 200: { description: 'A page of counters', schema: pageOf(totalObject) } },
    errors: [],
    handle: async ({ c, query }) => ({
      status: 200,
      data: pageData(await pageCounters(c.get('scope'), query), toTotalObject),
    }),
  },
  {
    id: 'listUsageEvents',
    method: 'get',
    path: '/usage/events',
    tag,
    permission,
    summary: 'List usage events',
    description: 'As they were reported, newest first. They never change.',
    query: ListUsageEventsQuery,
    answers: { 200: { description: 'A page of events', schema: pageOf(eventObject) } },
    errors: [],
    handle: async ({ c, query }) => ({
      status: 200,
      data: pageData(await pageUsageEvents(c.get('scope'), query), toEventObject),
    }),
  },
  {
    id: 'listUsageSnapshots',
    method: 'get',
    path: '/usage/snapshots',
    tag,
    permission,
    summary: 'List usage snapshots',
    description: 'Totals of closed periods, as they were billed, newest first.',
    query: ListSnapshotsQuery,
    answers: { 200: { description: 'A page of snapshots', schema: pageOf(totalObject) } },
    errors: [],
    handle: async ({ c, query }) => ({
      status: 200,
      data: pageData(await pageSnapshots(c.get('scope'), query), toTotalObject),
    }),
  },
]
