import { z } from 'zod'
import type { IdempotentResult } from '../../core/db/idempotency.js'
import type { ErrorCode } from '../../core/errors.js'
import {
  moveLicense,
  reinstateLicense,
  renewLicense,
  revokeLicense,
  suspendLicense,
  updateLicense,
} from '../../core/licensing/change-license.js'
import { issueLicense, issueLicenses } from '../../core/licensing/issue-licenses.js'
import { LICENSE_TYPES } from '../../core/licensing/license.js'
import {
  IssueLicenseInput,
  IssueLicensesInput,
  type LicenseOfProduct,
  ListLicensesQuery,
  MoveLicenseInput,
  RenewLicenseInput,
  toLicenseObject,
  UpdateLicenseInput,
} from '../../core/licensing/license-record.js'
import { getLicense, pageLicenses } from '../../core/licensing/read-licenses.js'
import { etagOf, type Preconditions } from '../../core/preconditions.js'
import type { TenantScope } from '../../core/tenants/scope.js'
import { entitlementValue, licenseStatus } from '../integration/schemas.js'
import type { OperationCall } from '../operation.js'
import { id, json, pageData, pageOf, preconditionsOf, time } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const licenseObject = z.strictObject({
  id,
  key: z.string(),
  product_id: id,
  product: z.string().describe('The code of the product'),
  type: z.enum(LICENSE_TYPES),
  status: licenseStatus,
  code: z
    .enum(['VALID', 'GRACE_PERIOD', 'NOT_YET_VALID', 'EXPIRED', 'SUSPENDED', 'REVOKED'])
    .describe('Why the license is valid now, or not'),
  starts_at: time.nullable(),
  expires_at: time.nullable(),
  grace_days: z.number(),
  entitlements: z.record(z.string(), entitlementValue),
  metadata: json,
  customer_name: z.string().nullable(),
  customer_email: z.string().nullable(),
  activations: z.number().describe('Seats that are taken'),
  last_used_at: time.nullable(),
  suspended_at: time.nullable(),
  revoked_at: time.nullable(),
  created_at: time,
  updated_at: time,
})

const licenseAnswer = z.strictObject({ license: licenseObject })

const shown = (changed: LicenseOfProduct, scope: TenantScope, status: 200 | 201 = 200) => ({
  status,
  data: { license: toLicenseObject(changed, scope.now()) },
  etag: etagOf(changed.license.revision),
})

const tag = 'tenant: licenses'
const parameter = {
  name: 'licenseId',
  description: 'The license’s id, or its key',
  example: '9ZFM-ZEM4-VKWY-B3XE',
  isVerbatim: true,
} as const

type Change = (
  scope: TenantScope,
  name: string,
  body: unknown,
  preconditions: Preconditions,
) => Promise<IdempotentResult<LicenseOfProduct>>

/** A move of one license: all of them look alike from outside. */
const move = (of: {
  readonly id: string
  readonly path: string
  readonly summary: string
  readonly description: string
  readonly change: Change
  readonly body?: TenantOperation['body']
  readonly errors?: readonly ErrorCode[]
}): TenantOperation => ({
  id: of.id,
  method: 'post',
  path: `/licenses/{licenseId}/${of.path}`,
  tag,
  permission: 'licenses.write',
  summary: of.summary,
  description: of.description,
  parameter,
  ...(of.body ? { body: of.body } : {}),
  isIdempotent: true,
  isConditional: true,
  answers: { 200: { description: 'The license', schema: licenseAnswer } },
  errors: ['LICENSE.NOT_FOUND', 'LICENSE.INVALID_STATE', ...(of.errors ?? [])],
  async handle(call: OperationCall) {
    const scope = call.c.get('scope')
    const changed = await of.change(scope, call.id, call.body, preconditionsOf(call))
    return { ...shown(changed.result, scope), replayed: changed.replayed }
  },
})

export const licenseOperations: readonly TenantOperation[] = [
  {
    id: 'listLicenses',
    method: 'get',
    path: '/licenses',
    tag,
    permission: 'licenses.read',
    summary: 'List licenses',
    description: 'By state, type, product, customer or end; searched, sorted, page by page.',
    query: ListLicensesQuery,
    answers: { 200: { description: 'A page of licenses', schema: pageOf(licenseObject) } },
    errors: [],
    async handle({ c, query }) {
      const scope = c.get('scope')
      const page = await pageLicenses(scope, query)
      return { status: 200, data: pageData(page, (item) => toLicenseObject(item, scope.now())) }
    },
  },
  {
    id: 'issueLicense',
    isTagged: true,
    method: 'post',
    path: '/licenses',
    tag,
    permission: 'licenses.write',
    summary: 'Issue a license',
    description:
      'Within the limit of the plan. What is not said follows from the tenant’s settings: grace days, and when subscriptions and trials end.',
    body: {
      schema: IssueLicenseInput,
      example: {
        product: 'editor',
        entitlements: { 'features.export': true, 'activations.max': 5 },
      },
    },
    isIdempotent: true,
    answers: { 201: { description: 'Issued', schema: licenseAnswer } },
    errors: ['PRODUCT.NOT_FOUND', 'PRODUCT.INVALID_STATE', 'ENTITLEMENTS.LIMIT_EXCEEDED'],
    async handle(call) {
      const scope = call.c.get('scope')
      const issued = await issueLicense(scope, call.body, preconditionsOf(call))
      return { ...shown(issued.result, scope, 201), replayed: issued.replayed }
    },
  },
  {
    id: 'issueLicenses',
    method: 'post',
    path: '/licenses/batch',
    tag,
    permission: 'licenses.write',
    summary: 'Issue many licenses',
    description: 'Up to 1,000 in one transaction: all of them, or none.',
    body: {
      schema: IssueLicensesInput,
      example: { licenses: [{ product: 'editor', type: 'trial', quantity: 20 }] },
    },
    isIdempotent: true,
    answers: {
      201: {
        description: 'Issued, in the order of the request',
        schema: z.strictObject({ items: z.array(licenseObject) }),
      },
    },
    errors: ['PRODUCT.NOT_FOUND', 'PRODUCT.INVALID_STATE', 'ENTITLEMENTS.LIMIT_EXCEEDED'],
    async handle(call) {
      const scope = call.c.get('scope')
      const { result, replayed } = await issueLicenses(scope, call.body, preconditionsOf(call))
      const now = scope.now()
      return {
        status: 201,
        data: { items: result.map((issued) => toLicenseObject(issued, now)) },
        replayed,
      }
    },
  },
  {
    id: 'showLicense',
    method: 'get',
    path: '/licenses/{licenseId}',
    tag,
    permission: 'licenses.read',
    summary: 'Show a license',
    description: 'By its id or its key; with an ETag for If-Match.',
    parameter,
    isTagged: true,
    answers: { 200: { description: 'The license', schema: licenseAnswer } },
    errors: ['LICENSE.NOT_FOUND'],
    handle: async ({ c, id }) => shown(await getLicense(c.get('scope'), id), c.get('scope')),
  },
  {
    id: 'updateLicense',
    method: 'patch',
    path: '/licenses/{licenseId}',
    tag,
    permission: 'licenses.write',
    summary: 'Change a license',
    description:
      'A merge patch of its terms, entitlements, metadata and customer. A revoked license stays as it is.',
    parameter,
    body: {
      schema: UpdateLicenseInput,
      example: { expires_at: '2027-12-31', entitlements: { 'features.export': null } },
    },
    isConditional: true,
    answers: { 200: { description: 'The license', schema: licenseAnswer } },
    errors: ['LICENSE.NOT_FOUND', 'LICENSE.INVALID_STATE'],
    async handle(call) {
      const scope = call.c.get('scope')
      const changed = await updateLicense(scope, call.id, call.body, preconditionsOf(call))
      return shown(changed.result, scope)
    },
  },
  move({
    id: 'suspendLicense',
    path: 'suspend',
    summary: 'Suspend a license',
    description: 'It no longer validates until it is reinstated. Its activations stay.',
    change: (scope, name, _body, pre) => suspendLicense(scope, name, pre),
  }),
  move({
    id: 'reinstateLicense',
    path: 'reinstate',
    summary: 'Reinstate a license',
    description: 'Ends a suspension.',
    change: (scope, name, _body, pre) => reinstateLicense(scope, name, pre),
  }),
  move({
    id: 'revokeLicense',
    path: 'revoke',
    summary: 'Revoke a license',
    description:
      'For good: it stays visible and stays revoked. Its activations end, and it no longer counts against the plan.',
    change: (scope, name, _body, pre) => revokeLicense(scope, name, pre),
  }),
  move({
    id: 'renewLicense',
    path: 'renew',
    summary: 'Renew a license',
    description:
      'Moves its end: to `expires_at`, by `days`, or by what the tenant’s settings give its type. What has expired is renewed from now on.',
    body: { schema: RenewLicenseInput, example: { days: 365 }, isOptional: true },
    change: renewLicense,
  }),
  move({
    id: 'moveLicense',
    path: 'move',
    summary: 'Move a license to another product',
    description: 'Key, terms and activations stay.',
    body: { schema: MoveLicenseInput, example: { product: 'editor-pro' } },
    errors: ['PRODUCT.NOT_FOUND', 'PRODUCT.INVALID_STATE'],
    change: moveLicense,
  }),
]
