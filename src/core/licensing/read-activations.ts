import { z } from 'zod'
import { AppError } from '../errors.js'
import { DEFAULT_PAGE, type Page, pageInput, placeOfCursor, toPage } from '../page.js'
import { asciiSchema, parse } from '../parse.js'
import type { TenantScope } from '../tenants/scope.js'
import { ACTIVATION_STATUSES, type Activation } from './activation.js'
import { findActivation, listActivations } from './activation-store.js'
import { findLicenseRecord } from './license-store.js'

export const ListActivationsQuery = z.strictObject({
  ...pageInput,
  license: asciiSchema(64).describe('Only those of this license, by its id or key').optional(),
  status: z
    .enum(ACTIVATION_STATUSES, `must be one of ${ACTIVATION_STATUSES.join(', ')}`)
    .describe('Only those in this state')
    .optional(),
  instance_id: z.string().max(190).describe('Only those of this instance').optional(),
})

/** Newest first, a page at a time. */
export async function pageActivations(
  scope: TenantScope,
  query: unknown,
): Promise<Page<Activation>> {
  const {
    license,
    status,
    instance_id,
    cursor,
    limit = DEFAULT_PAGE,
  } = parse(ListActivationsQuery, query)
  const [beforeId] = placeOfCursor(cursor, 'activations', ['id']) ?? []
  const licenseId =
    license === undefined ? undefined : (await findLicenseRecord(scope.db, license))?.id
  // a license that is not here has no activations
  if (license !== undefined && licenseId === undefined) return { items: [], nextCursor: undefined }
  const found = await listActivations(scope.db, {
    licenseId,
    status,
    instanceId: instance_id,
    beforeId: beforeId ?? undefined,
    limit: limit + 1,
  })
  return toPage(found, limit, 'activations', ({ id }) => [id])
}

/** @throws ACTIVATION.NOT_FOUND */
export async function getActivation(scope: TenantScope, id: string): Promise<Activation> {
  const activation = await findActivation(scope.db, id)
  if (!activation) throw new AppError('ACTIVATION.NOT_FOUND')
  return activation
}
