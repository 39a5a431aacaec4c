import { z } from 'zod'
import { type AuditRow, listAudit } from '../../core/events/audit-store.js'
import { DEFAULT_PAGE, pageInput, placeOfCursor, toPage } from '../../core/page.js'
import { asciiSchema, instantSchema, parse } from '../../core/parse.js'
import { id, json, pageData, pageOf, time } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const auditObject = z.strictObject({
  id,
  sequence: z
    .number()
    .nullable()
    .describe('Its place in the sealed chain; null until it is sealed'),
  occurred_at: time,
  actor: z.strictObject({ type: z.string(), id: z.string(), name: z.string() }),
  on_behalf_of: z.string().nullable().describe('For whom the actor did it, where that is said'),
  action: z.string(),
  object: z.strictObject({ type: z.string(), id: z.string() }),
  outcome: z.string(),
  request_id: z.string().nullable(),
  changes: json.nullable(),
})

const toObject = (row: AuditRow) => ({
  id: row.eventId,
  sequence: row.sequence ?? null,
  occurred_at: row.occurredAt,
  actor: { type: row.actorType, id: row.actorId, name: row.actorName },
  on_behalf_of: row.onBehalfOf ?? null,
  action: row.action,
  object: { type: row.objectType, id: row.objectId },
  outcome: row.outcome,
  request_id: row.requestId ?? null,
  changes: row.changes,
})

const ListAuditQuery = z.strictObject({
  ...pageInput,
  action: z
    .string()
    .regex(/^[a-z_.]{1,79}\*?$/, 'must be an action, or the beginning of some such as license.*')
    .describe('Only this action, or those that begin so: `license.*`')
    .optional(),
  actor_id: z.string().max(120).describe('Only what this actor did').optional(),
  object_type: asciiSchema(40).describe('Only what was done to things of this kind').optional(),
  object_id: z.string().max(190).describe('Only what was done to this thing').optional(),
  since: instantSchema.describe('Only what happened at or after').optional(),
  until: instantSchema.describe('Only what happened before').optional(),
})

export const auditOperations: readonly TenantOperation[] = [
  {
    id: 'listAudit',
    method: 'get',
    path: '/audit',
    tag: 'tenant: audit',
    permission: 'audit.read',
    summary: 'Read the audit log',
    description: 'What was done in this tenant, by whom, newest first.',
    query: ListAuditQuery,
    answers: { 200: { description: 'A page of the trail', schema: pageOf(auditObject) } },
    errors: [],
    async handle({ c, query }) {
      const {
        limit = DEFAULT_PAGE,
        cursor,
        actor_id,
        object_type,
        object_id,
        ...wish
      } = parse(ListAuditQuery, query)
      const [beforeId] = placeOfCursor(cursor, 'audit', ['number']) ?? []
      const found = await listAudit(c.get('acting').platform, {
        ...wish,
        tenantId: c.get('scope').tenant.id,
        actorId: actor_id,
        objectType: object_type,
        objectId: object_id,
        beforeId: beforeId ?? undefined,
        limit: limit + 1,
      })
      const page = toPage(found, limit, 'audit', (row) => [row.id])
      return { status: 200, data: pageData(page, toObject) }
    },
  },
]
