import { join } from 'node:path'
import type { Context } from '../../src/core/context.js'
import { parseDatabaseUrl } from '../../src/core/db/server-address.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import { enterTenant, placeOf, type TenantScope } from '../../src/core/tenants/scope.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { issueFor } from '../support/license.js'
import { type Environment, freshEnvironment, initialize, open } from '../support/platform.js'
import { ROOT } from '../support/source-files.js'
import type { ThrowAwayServer } from '../support/throw-away-server.js'
import { type Served, serve } from './served.js'

/** One tenant with licenses, a platform of its own, and what bare connections to its database need. */
export type Shop = {
  readonly ctx: Context
  readonly scope: TenantScope
  readonly apiKey: string
  readonly licenses: readonly { readonly id: string; readonly key: string }[]
  readonly environment: Environment
  /** Options of a bare mysql2 connection, logged in as the tenant. */
  readonly bare: {
    readonly socketPath: string
    readonly user: string
    readonly password: string
    readonly database: string
  }
}

export async function openShop(server: ThrowAwayServer, licenseCount: number): Promise<Shop> {
  const environment = freshEnvironment(server.databaseUrl)
  const runtimeUrl = await initialize(environment)
  const ctx = await open(environment)
  const { apiKey, tenant } = await provisionTenant(
    ctx,
    { slug: 'shop', plan: 'enterprise' },
    { deliver: async () => {} },
  )
  const scope = await enterTenant(ctx, tenant.slug)
  const licenses = []
  for (let index = 0; index < licenseCount; index += 1) {
    const { license } = await issueFor(scope, {
      product: 'app',
      type: 'perpetual',
      entitlements: { exports: true, 'activations.max': 1_000_000 },
    })
    licenses.push({ id: license.id, key: license.key })
  }
  const place = placeOf(await getTenant(ctx.platform, tenant.slug))
  const { address } = parseDatabaseUrl(server.databaseUrl, {})
  return {
    ctx,
    scope,
    apiKey: apiKey?.secret ?? '',
    licenses,
    environment: { ...environment, VALIDONX_DATABASE_URL: '', VALIDONX_RUNTIME_URL: runtimeUrl },
    bare: {
      socketPath: address.socketPath ?? '',
      user: tenant.databaseUser,
      password: ctx.keyring.tenantPassword(
        place.id,
        place.credentialsGeneration,
        place.credentialsKeyId,
      ),
      database: tenant.database,
    },
  }
}

/** `validonx serve`, or a script in its place, with limits that no load reaches. */
export const serveShop = (
  { environment }: Shop,
  server: ThrowAwayServer,
  more: Environment = {},
  script = join(ROOT, 'bin/validonx.js'),
): Promise<Served> =>
  serve(
    [script, 'serve', '--port', '0'],
    {
      ...environment,
      VALIDONX_API_RATE_LIMIT_REQUESTS: '1000000000',
      VALIDONX_LOG_LEVEL: 'info',
      ...more,
    },
    server.folder,
  )
