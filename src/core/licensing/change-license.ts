import type { Connection } from 'mysql2'
import { type IdempotentResult, inIdempotentTransaction } from '../db/idempotency.js'
import { giveBackToLimit } from '../entitlements/usage-counter-store.js'
import { AppError } from '../errors.js'
import type { Action } from '../events/actions.js'
import { recordEvent, recordEvents } from '../events/outbox-store.js'
import { patchedField } from '../merge-patch.js'
import { metadataSchema } from '../metadata.js'
import { LATEST, parse } from '../parse.js'
import { assertMatch, etagOf, type Preconditions } from '../preconditions.js'
import { holdProducts, productCodes } from '../products/product-store.js'
import type { TenantScope } from '../tenants/scope.js'
import { ACTIVATION_MOVES } from './activation-moves.js'
import { revokeActivationsOf } from './activation-store.js'
import { defaultsOf } from './issue-licenses.js'
import type { LicenseEntitlements } from './license.js'
import { assertLicenseMove, LICENSE_MOVES, type LicenseMove } from './license-moves.js'
import {
  entitlementsSchema,
  type LicenseOfProduct,
  type LicenseRecord,
  MoveLicenseInput,
  RenewLicenseInput,
  UpdateLicenseInput,
} from './license-record.js'
import { addSeats, licenseName, lockLicenseRecord, setLicense } from './license-store.js'

type Changed = Promise<IdempotentResult<LicenseOfProduct>>

type Decide = (
  license: LicenseRecord,
  transaction: Connection,
  at: Date,
) => Promise<Partial<LicenseRecord>> | Partial<LicenseRecord>

/**
 * One move of a license: locked, held against the caller's version and the table of moves, changed, and told
 * of, in one transaction.
 *
 * @param name the license's id, or its key
 * @throws LICENSE.NOT_FOUND, LICENSE.INVALID_STATE, REQUEST.PRECONDITION_FAILED
 */
function change(
  scope: TenantScope,
  move: LicenseMove,
  name: string,
  request: unknown,
  { idempotencyKey, ifMatch }: Preconditions,
  decide: Decide,
): Changed {
  return inIdempotentTransaction(
    scope,
    {
      operation: `licenses.${move}`,
      key: idempotencyKey,
      request: { name: licenseName(name), request },
    },
    async (transaction) => {
      const license = await lockLicenseRecord(transaction, name)
      if (!license) throw new AppError('LICENSE.NOT_FOUND')
      assertMatch(ifMatch, etagOf(license.revision))
      assertLicenseMove(move, license.status)
      const at = scope.now()
      const rules: { readonly to?: LicenseRecord['status']; readonly event: Action } =
        LICENSE_MOVES[move]
      const changed: LicenseRecord = {
        ...license,
        ...(await decide(license, transaction, at)),
        status: rules.to ?? license.status,
        revision: license.revision + 1,
        updatedAt: at,
      }
      const changes = differenceOf(license, changed)
      if (move === 'update' && Object.keys(changes.after).length === 0)
        return { license, product: await codeOf(transaction, license) }
      await setLicense(transaction, changed)
      await recordEvent(transaction, scope, {
        at,
        action: rules.event,
        objectType: 'license',
        objectId: license.id,
        changes,
      })
      return { license: changed, product: await codeOf(transaction, changed) }
    },
  )
}

/** Changes terms, entitlements and the customer; what is not named stays. */
export function updateLicense(
  scope: TenantScope,
  name: string,
  input: unknown,
  preconditions: Preconditions = {},
): Changed {
  const patch = parse(UpdateLicenseInput, input)
  return change(scope, 'update', name, patch, preconditions, (license) => {
    const kept = <T>(given: T | null | undefined, own: T | undefined): T | undefined =>
      given === undefined ? own : (given ?? undefined)
    const startsAt = kept(patch.starts_at, license.startsAt)
    const expiresAt = kept(patch.expires_at, license.expiresAt)
    if (startsAt && expiresAt && startsAt >= expiresAt) {
      throw new AppError('VALIDATION.FAILED').with({
        expires_at: ['must be later than the start'],
      })
    }
    return {
      startsAt,
      expiresAt,
      graceDays: patch.grace_days ?? license.graceDays,
      customerName: kept(patch.customer_name, license.customerName),
      customerEmail: kept(patch.customer_email, license.customerEmail),
      entitlements: parse(
        entitlementsSchema,
        patchedField(license.entitlements, patch.entitlements),
      ) as LicenseEntitlements,
      metadata: parse(metadataSchema, patchedField(license.metadata, patch.metadata)),
    }
  })
}

/** Closes a license until it is reinstated; its seats stay taken. */
export const suspendLicense = (scope: TenantScope, name: string, pre: Preconditions = {}) =>
  change(scope, 'suspend', name, {}, pre, (_license, _transaction, at) => ({ suspendedAt: at }))

export const reinstateLicense = (scope: TenantScope, name: string, pre: Preconditions = {}) =>
  change(scope, 'reinstate', name, {}, pre, () => ({ suspendedAt: undefined }))

/** Ends a license for good: its activations end with it, and it no longer counts against the plan. */
export const revokeLicense = (scope: TenantScope, name: string, pre: Preconditions = {}) =>
  change(scope, 'revoke', name, {}, pre, async (license, transaction, at) => {
    const ended = await revokeActivationsOf(transaction, license.id, at)
    if (ended.length > 0) {
      await addSeats(transaction, license.id, -ended.length)
      await recordEvents(
        transaction,
        scope,
        ended.map((id) => ({
          at,
          action: ACTIVATION_MOVES.revoke.event,
          objectType: 'activation',
          objectId: id,
          changes: { before: { status: 'active' }, after: { status: 'revoked' } },
        })),
      )
      await giveBackToLimit(transaction, 'activations.total', ended.length, at)
    }
    await giveBackToLimit(transaction, 'licenses.max', 1, at)
    return { revokedAt: at, activations: license.activations - ended.length }
  })

const DAY_MS = 86_400_000

/**
 * Moves the end of a license: to a given time, by days, or by what the tenant's settings give its type. What
 * has expired is renewed from now on.
 */
export function renewLicense(
  scope: TenantScope,
  name: string,
  input: unknown = {},
  preconditions: Preconditions = {},
): Changed {
  const wish = parse(RenewLicenseInput, input)
  return change(scope, 'renew', name, wish, preconditions, async (license, transaction, at) => {
    const { expiresAt } = license
    if (!expiresAt)
      throw new AppError('LICENSE.INVALID_STATE', 'be renewed', 'it never expires').with({
        status: license.status,
        move: 'renew',
      })
    const from = new Date(Math.max(expiresAt.getTime(), at.getTime()))
    const end =
      wish.expires_at ??
      (wish.days === undefined
        ? (await defaultsOf(transaction)).expiry(
            license.type === 'perpetual' ? 'subscription' : license.type,
            from,
          )
        : new Date(from.getTime() + wish.days * DAY_MS))
    if (end && end > LATEST)
      throw new AppError('VALIDATION.FAILED').with({ expires_at: ['must lie before 9000'] })
    if (!end || end <= from) {
      throw new AppError('VALIDATION.FAILED').with({
        expires_at: ['must be later than now and than the present end'],
      })
    }
    return { expiresAt: end }
  })
}

/** Makes a license one for another product. @throws PRODUCT.NOT_FOUND, PRODUCT.INVALID_STATE */
export function moveLicense(
  scope: TenantScope,
  name: string,
  input: unknown,
  preconditions: Preconditions = {},
): Changed {
  const { product: code } = parse(MoveLicenseInput, input)
  return change(scope, 'move', name, { code }, preconditions, async (license, transaction) => {
    const product = (await holdProducts(transaction, [code])).get(code)
    if (!product) throw new AppError('PRODUCT.NOT_FOUND', code)
    if (product.status !== 'active' && product.id !== license.productId)
      throw new AppError('PRODUCT.INVALID_STATE', code)
    return { productId: product.id }
  })
}

const codeOf = async (transaction: Connection, { productId }: LicenseRecord): Promise<string> =>
  (await productCodes(transaction, [productId])).get(productId) ?? ''

/** Before and after, of what is another now. */
function differenceOf(before: LicenseRecord, after: LicenseRecord) {
  const shown = (license: LicenseRecord): Readonly<Record<string, unknown>> => ({
    product_id: license.productId,
    status: license.status,
    starts_at: license.startsAt ?? null,
    expires_at: license.expiresAt ?? null,
    grace_days: license.graceDays,
    entitlements: license.entitlements,
    metadata: license.metadata,
    customer_name: license.customerName ?? null,
    customer_email: license.customerEmail ?? null,
  })
  const [old, now] = [shown(before), shown(after)]
  const names = Object.keys(now).filter(
    (name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]),
  )
  const only = (of: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(names.map((name) => [name, of[name]]))
  return { before: only(old), after: only(now) }
}
