import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import { insertInvoice } from '../../src/core/billing/invoice-store.js'
import { findCurrentSubscription } from '../../src/core/billing/subscription-store.js'
import type { Context } from '../../src/core/context.js'
import { quoteName } from '../../src/core/db/sql.js'
import { catalogue, type ErrorCode } from '../../src/core/errors.js'
import { invite } from '../../src/core/identity/invite.js'
import type { Permission } from '../../src/core/identity/roles.js'
import { newId } from '../../src/core/ids.js'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import { suspendLicense } from '../../src/core/licensing/change-license.js'
import { createProduct, ensureProduct } from '../../src/core/products/create-product.js'
import { createWebhook, moveWebhook } from '../../src/core/webhooks/change-webhooks.js'
import type { App } from '../../src/server/app.js'
import { issueFor } from './license.js'
import { makeMember } from './member.js'
import { freshWord } from './platform.js'
import { fromElsewhere, openShop, type Shop } from './shop.js'

/** The published base, and the canonical one. */
export const BASES = ['/v1', '/api/v1'] as const

/** `GET /tenant/x` → `GET /v1/tenant/x` and `GET /api/v1/tenant/x`. */
export const onBothBases = (names: Iterable<string>): string[] =>
  BASES.flatMap((base) => [...names].map((name) => name.replace(' ', ` ${base}`)))

/** Routes that a router has and a list does not name, and the other way about. */
export function strays(
  routes: App['routes'],
  listed: ReadonlySet<string>,
): { unlisted: string[]; gone: string[] } {
  const standing = new Set(routes.map(({ method, path }) => `${method} ${path}`))
  return {
    unlisted: [...standing].filter((name) => !listed.has(name)),
    gone: [...listed].filter((name) => !standing.has(name)),
  }
}

/** The names of a router's routes below a group, without what stands before them. */
export const routesOf = ({ routes }: Pick<App, 'routes'>, group: string): string[] =>
  routes
    .filter(({ method, path }) => method !== 'ALL' && path.includes(`/v1${group}/`))
    .map(({ method, path }) => `${method} ${path}`)

type Failure = {
  readonly error: { readonly code: ErrorCode; readonly type: string; readonly status: number }
  readonly meta: { readonly request_id: string }
}

/** Holds an answer against the contract's envelope, and tells what it says. */
export function refusalOf(status: number, headers: Headers, text: string): string {
  const body = JSON.parse(text) as Failure
  const { code } = body.error
  expect(body).toEqual({
    error: {
      code: expect.any(String),
      message: expect.stringMatching(/^[A-Z].*\.$/),
      type: code.split('.')[0]?.toLowerCase(),
      status,
      details: expect.any(Object),
    },
    meta: { request_id: headers.get('X-Request-ID'), api_version: '1' },
  })
  expect(headers.get('X-Request-ID')).toMatch(/^[0-9a-f-]{36}$/)
  expect(headers.get('X-ValidonX-API-Version')).toBe('1')
  expect(headers.get('Content-Type')).toMatch(/^application\/json/)
  expect(catalogue[code].status).toBe(status)
  return `${status} ${code}`
}

/** What is sent, apart from the credential. */
export type Wish = { readonly path: string; readonly body?: unknown }

export type Said = { readonly said: string; readonly text: string; readonly headers: Headers }

/** Sends a request as somebody, and tells what is said: `200`, or `403 AUTH.FORBIDDEN`. */
export async function send(
  app: Pick<App, 'request'>,
  method: string,
  { path, body }: Wish,
  headers: Readonly<Record<string, string>>,
): Promise<Said> {
  const response = await app.request(
    path,
    {
      method,
      headers: {
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    },
    fromElsewhere(),
  )
  const text = await response.text()
  const isRefusal = response.status >= 400 && method !== 'HEAD'
  return {
    said: isRefusal ? refusalOf(response.status, response.headers, text) : String(response.status),
    text,
    headers: response.headers,
  }
}

/** Digests of all tables of the platform and of tenants, without times of last use: those are written behind. */
export async function contentsOf(ctx: Context, ...sites: readonly Site[]): Promise<string[]> {
  const provisioner = await ctx.provisioner()
  const databases = sites.map(({ scope }) => scope.tenant.database)
  const found: string[] = []
  for (const database of [ctx.config.platformDatabase, ...databases]) {
    const tables = await provisioner.rows<{ name: string }>(
      'select table_name as name from information_schema.tables where table_schema = ? order by 1',
      [database],
    )
    for (const { name } of tables) {
      const table = `${quoteName(database)}.${quoteName(name)}`
      const rows = await provisioner.rows<Record<string, unknown>>(`select * from ${table}`)
      const lines = rows.map(({ last_used_at: _, ...row }) => JSON.stringify(row)).sort()
      const digest = createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16)
      found.push(`${table}: ${rows.length} rows, ${digest}`)
    }
  }
  return found
}

/** A tenant whose slug is its canary: what it has is called after it. */
export type Site = Shop & {
  readonly ctx: Context
  readonly id: string
  /** A name that nothing here has yet. */
  name(): string
}

export async function openSite(ctx: Context): Promise<Site> {
  const shop = await openShop(ctx)
  let names = 0
  return {
    ...shop,
    ctx,
    id: shop.scope.tenant.id,
    name() {
      names += 1
      return `${shop.slug}-${names}`
    },
  }
}

/** Makes what one request is about and no other, and answers its id. */
type Make = (site: Site) => Promise<string>

const product: Make = async ({ scope, name }) =>
  (await createProduct(scope, { code: name(), name: 'P' })).result.id

/** A product that every tenant has, so that a body means the same in each. */
const COMMON = 'common'
const common = ({ scope }: Site) => ensureProduct(scope, { code: COMMON, name: 'Common' })

export const makeLicense = async (site: Site, wish: object = {}) => {
  await common(site)
  const { scope, slug } = site
  return (
    await issueFor(scope, { product: slug, customer_name: slug, type: 'subscription', ...wish })
  ).license
}

const license: Make = async (site) => (await makeLicense(site)).id
const suspendedLicense: Make = async (site) => {
  const { id } = await makeLicense(site)
  await suspendLicense(site.scope, id)
  return id
}

const activation: Make = async (site) => {
  const { key } = await makeLicense(site)
  const input = { license_key: key, instance_id: site.slug }
  return (await activateLicense(site.scope, input)).result.activation.id
}

export const makeApiKey = async ({ ctx, slug, name }: Site) =>
  (await createApiKey(ctx, { slug, name: name() })).key
const apiKey: Make = async (site) => (await makeApiKey(site)).id

const HOOK_EVENTS = ['license.revoked'] as const
const webhook: Make = async ({ ctx, scope, slug }) => {
  const input = { url: `https://${slug}.example.com/hook`, events: HOOK_EVENTS }
  return (await createWebhook(ctx, scope, input)).result.endpoint.id
}
const disabledWebhook: Make = async (site) => {
  const id = await webhook(site)
  await moveWebhook(site.ctx, site.id, id, 'disable')
  return id
}

const member: Make = async ({ ctx, slug }) => (await makeMember(ctx, slug, 'developer')).id

const invitation: Make = async ({ ctx, id, slug }) => {
  const input = { email: `${freshWord()}@${slug}.example.com`, role: 'viewer' }
  return (await invite(ctx, { id }, input)).result.invitation.id
}

let invoices = 0
export async function makeInvoice({ ctx, id: tenantId, name }: Site) {
  const subscription = await findCurrentSubscription(ctx.platform, tenantId)
  invoices += 1
  const periodStart = new Date(Date.UTC(2000, 0, invoices))
  const invoice = {
    id: newId(),
    tenantId,
    subscriptionId: subscription?.id ?? '',
    number: name(),
    status: 'open',
    periodStart,
    periodEnd: periodStart,
    currency: 'USD',
    totalCents: 1,
    issuedAt: periodStart,
    dueAt: undefined,
    paidAt: undefined,
    lines: [],
  } as const
  await insertInvoice(ctx.platform, invoice)
  return invoice
}
const invoice: Make = async (site) => (await makeInvoice(site)).id

/** What stands in a path, how there is one more of it, and what is said where it is another tenant's. */
const PARAMETERS: Readonly<Record<string, { readonly make: Make; readonly missing: ErrorCode }>> = {
  productId: { make: product, missing: 'PRODUCT.NOT_FOUND' },
  licenseId: { make: license, missing: 'LICENSE.NOT_FOUND' },
  activationId: { make: activation, missing: 'ACTIVATION.NOT_FOUND' },
  apiKeyId: { make: apiKey, missing: 'API_KEY.NOT_FOUND' },
  webhookId: { make: webhook, missing: 'WEBHOOK.NOT_FOUND' },
  invoiceId: { make: invoice, missing: 'INVOICE.NOT_FOUND' },
  userId: { make: member, missing: 'MEMBER.NOT_FOUND' },
  invitationId: { make: invitation, missing: 'INVITATION.NOT_FOUND' },
}

/** The plan that tenants are changed to. */
const WIDE_PLAN = 'pro'

/** Takes its limits away, so that a tenant that was changed to it goes on as before. */
export async function widenPlan(ctx: Context): Promise<void> {
  const platform = quoteName(ctx.config.platformDatabase)
  await (await ctx.provisioner()).run(
    `update ${platform}.plan_entitlements set value = null
      where plan_id in (select id from ${platform}.plans where code = '${WIDE_PLAN}')`,
  )
}

/** What a route needs of a caller, and what makes it succeed. */
export type TenantRoute = {
  readonly permission: Permission
  /** 200 where it is not said. */
  readonly success?: 201
  body?(site: Site): unknown
  /** Where only a thing in some state will do. */
  readonly make?: Make
}

const hook = (site: Site) => ({ url: `https://${site.slug}.example.com`, events: HOOK_EVENTS })

/** Every route below `/tenant`, as it is published: written down here, and taken from nowhere. */
export const TENANT_ROUTES: Readonly<Record<string, TenantRoute>> = {
  'GET /products': { permission: 'products.read' },
  'POST /products': {
    permission: 'products.write',
    success: 201,
    body: ({ name }) => ({ code: name(), name: 'P' }),
  },
  'GET /products/:productId': { permission: 'products.read' },
  'PATCH /products/:productId': { permission: 'products.write', body: () => ({ name: 'Q' }) },
  'DELETE /products/:productId': { permission: 'products.write' },

  'GET /licenses': { permission: 'licenses.read' },
  'POST /licenses': {
    permission: 'licenses.write',
    success: 201,
    body: () => ({ product: COMMON }),
  },
  'POST /licenses/batch': {
    permission: 'licenses.write',
    success: 201,
    body: () => ({ licenses: [{ product: COMMON, quantity: 2 }] }),
  },
  'GET /licenses/:licenseId': { permission: 'licenses.read' },
  'PATCH /licenses/:licenseId': { permission: 'licenses.write', body: () => ({ grace_days: 3 }) },
  'POST /licenses/:licenseId/suspend': { permission: 'licenses.write' },
  'POST /licenses/:licenseId/reinstate': { permission: 'licenses.write', make: suspendedLicense },
  'POST /licenses/:licenseId/revoke': { permission: 'licenses.write' },
  'POST /licenses/:licenseId/renew': { permission: 'licenses.write', body: () => ({ days: 10 }) },
  'POST /licenses/:licenseId/move': {
    permission: 'licenses.write',
    body: () => ({ product: COMMON }),
  },

  'GET /activations': { permission: 'activations.read' },
  'GET /activations/:activationId': { permission: 'activations.read' },
  'POST /activations/:activationId/revoke': { permission: 'activations.write' },

  'GET /entitlements': { permission: 'entitlements.read' },
  'GET /usage/counters': { permission: 'usage.read' },
  'GET /usage/events': { permission: 'usage.read' },
  'GET /usage/snapshots': { permission: 'usage.read' },

  'GET /api-keys': { permission: 'api_keys.read' },
  'POST /api-keys': {
    permission: 'api_keys.write',
    success: 201,
    body: ({ name }) => ({ name: name() }),
  },
  'GET /api-keys/:apiKeyId': { permission: 'api_keys.read' },
  'POST /api-keys/:apiKeyId/rotate': {
    permission: 'api_keys.write',
    success: 201,
    body: () => ({ grace_seconds: 60 }),
  },
  'POST /api-keys/:apiKeyId/revoke': { permission: 'api_keys.write' },

  'GET /webhooks': { permission: 'webhooks.read' },
  'POST /webhooks': { permission: 'webhooks.write', success: 201, body: hook },
  'GET /webhooks/:webhookId': { permission: 'webhooks.read' },
  'PATCH /webhooks/:webhookId': { permission: 'webhooks.write', body: hook },
  'DELETE /webhooks/:webhookId': { permission: 'webhooks.write' },
  'POST /webhooks/:webhookId/enable': { permission: 'webhooks.write', make: disabledWebhook },
  'POST /webhooks/:webhookId/disable': { permission: 'webhooks.write' },
  'POST /webhooks/:webhookId/rotate-secret': {
    permission: 'webhooks.write',
    body: () => ({ grace_seconds: 60 }),
  },
  'GET /webhooks/:webhookId/deliveries': { permission: 'webhooks.read' },
  'POST /webhooks/:webhookId/test': { permission: 'webhooks.write' },
  'POST /webhooks/:webhookId/redeliver': { permission: 'webhooks.write', body: () => ({}) },

  'GET /settings': { permission: 'settings.read' },
  'PATCH /settings': {
    permission: 'settings.write',
    body: () => ({ 'licenses.trial_days': 21 }),
  },
  'GET /branding': { permission: 'settings.read' },
  'PATCH /branding': {
    permission: 'settings.write',
    body: ({ slug }) => ({ support_url: `https://${slug}.example.com` }),
  },

  'GET /subscription': { permission: 'billing.read' },
  'PATCH /subscription': { permission: 'billing.write', body: () => ({ plan: WIDE_PLAN }) },
  'GET /plans': { permission: 'billing.read' },
  'GET /invoices': { permission: 'billing.read' },
  'GET /invoices/:invoiceId': { permission: 'billing.read' },

  'GET /members': { permission: 'members.read' },
  'GET /members/:userId': { permission: 'members.read' },
  'PATCH /members/:userId': { permission: 'members.write', body: () => ({ role: 'viewer' }) },
  'DELETE /members/:userId': { permission: 'members.write' },
  'GET /invitations': { permission: 'members.read' },
  'POST /invitations': {
    permission: 'members.write',
    success: 201,
    body: ({ slug }) => ({ email: `${freshWord()}@${slug}.example.com`, role: 'viewer' }),
  },
  'DELETE /invitations/:invitationId': { permission: 'members.write' },

  'GET /audit': { permission: 'audit.read' },
  'GET /export': { permission: 'tenant.export' },
}

/** A route of the list, under one of the bases. */
export type Mounted = Omit<TenantRoute, 'success'> & {
  readonly name: string
  readonly method: string
  readonly success: number
  /** What it says of a thing that is another tenant's; absent where its path names none. */
  readonly missing: ErrorCode | undefined
  /** A request that succeeds where the caller may, about something that no other request is about. */
  prepare(site: Site): Promise<Wish>
}

/** @param name as the router has it: `GET /v1/tenant/products/:productId` */
export function mounted(name: string, route: TenantRoute): Mounted {
  const [method = '', pattern = ''] = name.split(' ')
  const parameter = PARAMETERS[/:(\w+)/.exec(pattern)?.[1] ?? '']
  return {
    ...route,
    name,
    method,
    success: route.success ?? 200,
    missing: parameter?.missing,
    async prepare(site) {
      await common(site)
      const make = route.make ?? parameter?.make
      const path = make ? pattern.replace(/:\w+/, await make(site)) : pattern
      return { path, body: route.body?.(site) }
    },
  }
}

/** The list under both bases. */
export const tenantRoutes: readonly Mounted[] = BASES.flatMap((base) =>
  Object.entries(TENANT_ROUTES).map(([name, route]) =>
    mounted(name.replace(' ', ` ${base}/tenant`), route),
  ),
)
