import { z } from 'zod'
import type { Branding } from '../../core/tenants/branding-store.js'
import {
  getBranding,
  getSettings,
  type Settings,
  type Tagged,
  UpdateBrandingInput,
  UpdateSettingsInput,
  updateBranding,
  updateSettings,
} from '../../core/tenants/change-settings.js'
import { preconditionsOf } from './shapes.js'
import type { TenantOperation } from './tenant-operation.js'

const settingsAnswer = z.strictObject({
  settings: z.strictObject({
    'licenses.default_type': z.string(),
    'licenses.default_grace_days': z.number(),
    'licenses.subscription_days': z.number(),
    'licenses.trial_days': z.number(),
  }),
})

const shownSettings = ({ value, etag }: Tagged<Settings>) => ({
  status: 200 as const,
  data: { settings: value },
  etag,
})

const brandingAnswer = z.strictObject({
  branding: z.strictObject({
    display_name: z.string(),
    logo_url: z.string().nullable(),
    primary_color: z.string(),
    accent_color: z.string(),
    support_email: z.string().nullable(),
    support_url: z.string().nullable(),
  }),
})

const shownBranding = ({ value, etag }: Tagged<Branding>) => ({
  status: 200 as const,
  data: {
    branding: {
      display_name: value.displayName,
      logo_url: value.logoUrl ?? null,
      primary_color: value.primaryColor,
      accent_color: value.accentColor,
      support_email: value.supportEmail ?? null,
      support_url: value.supportUrl ?? null,
    },
  },
  etag,
})

const tag = 'tenant: settings'

export const settingOperations: readonly TenantOperation[] = [
  {
    id: 'showSettings',
    method: 'get',
    path: '/settings',
    tag,
    permission: 'settings.read',
    summary: 'Show the settings',
    description: 'With an ETag for If-Match.',
    isConditional: true,
    answers: { 200: { description: 'The settings', schema: settingsAnswer } },
    errors: [],
    handle: async ({ c }) => shownSettings(await getSettings(c.get('scope'))),
  },
  {
    id: 'updateSettings',
    method: 'patch',
    path: '/settings',
    tag,
    permission: 'settings.write',
    summary: 'Change the settings',
    description: 'A merge patch: null goes back to the default.',
    body: { schema: UpdateSettingsInput, example: { 'licenses.default_grace_days': 7 } },
    isConditional: true,
    answers: { 200: { description: 'The settings', schema: settingsAnswer } },
    errors: [],
    handle: async (call) =>
      shownSettings(await updateSettings(call.c.get('scope'), call.body, preconditionsOf(call))),
  },
  {
    id: 'showBranding',
    method: 'get',
    path: '/branding',
    tag,
    permission: 'settings.read',
    summary: 'Show the branding',
    description: 'With an ETag for If-Match.',
    isConditional: true,
    answers: { 200: { description: 'The branding', schema: brandingAnswer } },
    errors: [],
    handle: async ({ c }) => shownBranding(await getBranding(c.get('scope'))),
  },
  {
    id: 'updateBranding',
    method: 'patch',
    path: '/branding',
    tag,
    permission: 'settings.write',
    summary: 'Change the branding',
    description: 'A merge patch: null takes away, or goes back to the default.',
    body: { schema: UpdateBrandingInput, example: { primary_color: '#0f766e' } },
    isConditional: true,
    answers: { 200: { description: 'The branding', schema: brandingAnswer } },
    errors: [],
    handle: async (call) =>
      shownBranding(await updateBranding(call.c.get('scope'), call.body, preconditionsOf(call))),
  },
]
