import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { brandingSeed, settingSeeds } from '../../../seeds/tenant/defaults.js'
import { recordEvent } from '../events/outbox-store.js'
import { parse, webUrlSchema } from '../parse.js'
import { assertMatch, etagOfValue, type Preconditions } from '../preconditions.js'
import { type Branding, findBranding, setBranding } from './branding-store.js'
import type { TenantScope } from './scope.js'
import { readSettings, setSetting } from './setting-store.js'

const days = (min: number, max: number) =>
  z
    .number('must be a whole number')
    .int('must be a whole number')
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`)
    .nullable()
    .optional()

/** A merge patch: null goes back to the default. */
export const UpdateSettingsInput = z.strictObject({
  'licenses.default_type': z
    .enum(['perpetual', 'subscription', 'trial'], 'must be perpetual, subscription or trial')
    .nullable()
    .optional()
    .describe('What a license is whose type is not said'),
  'licenses.default_grace_days': days(0, 3650).describe('Days after its end in which it is valid'),
  'licenses.subscription_days': days(1, 36_500).describe('How long a subscription runs'),
  'licenses.trial_days': days(1, 3650).describe('How long a trial runs'),
})

export type Settings = Readonly<Record<string, unknown>>
/** What stands, and the entity tag of it. */
export type Tagged<T> = { readonly value: T; readonly etag: string }

const KNOWN = Object.keys(UpdateSettingsInput.shape)

const withDefaults = (stored: ReadonlyMap<string, unknown>): Settings =>
  Object.fromEntries(KNOWN.map((name) => [name, stored.get(name) ?? settingSeeds[name]]))

const tagged = <T>(value: T): Tagged<T> => ({ value, etag: etagOfValue(value) })

export const getSettings = async (scope: TenantScope): Promise<Tagged<Settings>> =>
  tagged(withDefaults(await readSettings(scope.db)))

/** Changes what is named and leaves the rest. @throws REQUEST.PRECONDITION_FAILED */
export async function updateSettings(
  scope: TenantScope,
  input: unknown,
  { ifMatch }: Preconditions = {},
): Promise<Tagged<Settings>> {
  const patch: Settings = parse(UpdateSettingsInput, input)
  return scope.transaction(async (transaction) => {
    const before = withDefaults(await readSettings(transaction, { lock: true }))
    assertMatch(ifMatch, etagOfValue(before))
    const given = Object.entries(patch).filter(([, value]) => value !== undefined)
    const after = {
      ...before,
      ...Object.fromEntries(given.map(([name, value]) => [name, value ?? settingSeeds[name]])),
    }
    if (isDeepStrictEqual(before, after)) return tagged(before)
    const at = scope.now()
    for (const [name] of given) await setSetting(transaction, name, after[name], at)
    await recordEvent(transaction, scope, {
      at,
      action: 'settings.updated',
      objectType: 'settings',
      objectId: scope.tenant.id,
      changes: { before, after },
    })
    return tagged(after)
  })
}

const color = z.string('must be text').regex(/^#[0-9a-f]{6}$/, 'must be a color such as #1f2937')
const httpsUrl = webUrlSchema(
  /^https:\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?([/?]([A-Za-z0-9\-._~:/?@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)?(#([A-Za-z0-9\-._~:/?@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)?$/,
  'must be an https URL, other letters percent-encoded, without user or password',
)

export const UpdateBrandingInput = z.strictObject({
  display_name: z
    .string('must be text')
    .trim()
    .min(1, 'must not be empty')
    .max(120, 'must be at most 120 characters')
    .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), 'must be text without control characters')
    .optional(),
  logo_url: httpsUrl.nullable().optional(),
  primary_color: color.nullable().optional(),
  accent_color: color.nullable().optional(),
  support_email: z
    .email('must be an e-mail address')
    .max(255, 'must be at most 255 characters')
    .nullable()
    .optional(),
  support_url: httpsUrl.nullable().optional(),
})

const ofTenant = (scope: TenantScope, stored: Branding | undefined): Branding =>
  stored ?? { displayName: scope.tenant.slug, ...brandingSeed }

export const getBranding = async (scope: TenantScope): Promise<Tagged<Branding>> =>
  tagged(ofTenant(scope, await findBranding(scope.db)))

/** The same for how the tenant presents itself. @throws REQUEST.PRECONDITION_FAILED */
export async function updateBranding(
  scope: TenantScope,
  input: unknown,
  { ifMatch }: Preconditions = {},
): Promise<Tagged<Branding>> {
  const patch = parse(UpdateBrandingInput, input)
  return scope.transaction(async (transaction) => {
    const before = ofTenant(scope, await findBranding(transaction, { lock: true }))
    assertMatch(ifMatch, etagOfValue(before))
    const kept = <T>(given: T | null | undefined, own: T, fallback: T): T =>
      given === undefined ? own : (given ?? fallback)
    const after: Branding = {
      displayName: patch.display_name ?? before.displayName,
      logoUrl: kept(patch.logo_url, before.logoUrl, undefined),
      primaryColor: kept(patch.primary_color, before.primaryColor, brandingSeed.primaryColor),
      accentColor: kept(patch.accent_color, before.accentColor, brandingSeed.accentColor),
      supportEmail: kept(patch.support_email, before.supportEmail, undefined),
      supportUrl: kept(patch.support_url, before.supportUrl, undefined),
    }
    if (isDeepStrictEqual(before, after)) return tagged(before)
    const at = scope.now()
    await setBranding(transaction, after, at)
    await recordEvent(transaction, scope, {
      at,
      action: 'branding.updated',
      objectType: 'branding',
      objectId: scope.tenant.id,
      changes: { before, after },
    })
    return tagged(after)
  })
}
