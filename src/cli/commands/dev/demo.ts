import { demoSeed } from '../../../../seeds/demo/demo.js'
import { createApiKey } from '../../../core/access/create-api-key.js'
import { type Context, describePlatform } from '../../../core/context.js'
import { stopEmbeddedServer } from '../../../core/db/embedded-server.js'
import { issueLicense } from '../../../core/licensing/issue-licenses.js'
import { listLicenses } from '../../../core/licensing/license-store.js'
import { ensureProduct } from '../../../core/products/create-product.js'
import { provisionTenant } from '../../../core/provisioning/provision-tenant.js'
import { enterTenant } from '../../../core/tenants/scope.js'
import { createCommand } from '../../command.js'
import { type Runtime, type Session, withSession } from '../../runtime.js'
import { untilStopped, withServer } from '../../serving.js'
import { reportStages, showProvisioned } from '../tenant/shown.js'

export const devDemo = (runtime: Runtime) =>
  createCommand({
    name: 'demo',
    about: 'make a demo tenant with a license, serve it, and show how to validate the license',
    prints: false,
    examples: [
      ['dev demo', 'serves until Ctrl-C'],
      ['dev demo --once', 'sends the request itself, shows the answer, and leaves nothing running'],
    ],
  })
    .option('--once', 'send the request, show the answer, and end')
    .option('--port <port>', 'port to listen on; 0 takes a free one (default: 8080)')
    .action(
      withSession(runtime, async (session, { once }: { once?: true }) => {
        const { apiKey, licenseKey, startedServer } = await prepare(session)
        const { terminal, loaded } = session
        const quiet = { ...loaded.config, logLevel: 'warn', ...(once ? { port: 0 } : {}) } as const
        await withServer({ ...session, loaded: { ...loaded, config: quiet } }, async (url) => {
          const path = `${url}/v1/integration/licenses/${licenseKey}/validate`
          const curl = `curl -X POST -H 'X-API-Key: ${apiKey}' \\\n  ${path}`
          if (!once) {
            terminal.note(`\nThe server is up. Paste this into another terminal:\n`)
            await terminal.result(`${curl}\n`)
            terminal.note('Ctrl-C stops it.')
            await untilStopped(session)
            return
          }
          await terminal.result(`\n$ ${curl}`)
          const answer = await fetch(path, { method: 'POST', headers: { 'X-API-Key': apiKey } })
          await terminal.result(`${JSON.stringify(await answer.json(), null, 2)}`)
          if (!answer.ok) runtime.setExit(1)
        })
        if (once && startedServer) await stopEmbeddedServer(loaded.config.home)
      }),
    )

/** The same verbs that an operator's commands call. A second demo goes on with the tenant of the first. */
async function prepare(
  session: Session,
): Promise<{ apiKey: string; licenseKey: string; startedServer: boolean }> {
  const { terminal, loaded, log, signal } = session
  const { openPlatform } = await import('../../../core/platform/open-platform.js')
  terminal.note('starting the embedded database server and preparing the platform …')
  const { ctx, startedServer } = await openPlatform(loaded.config, {
    role: 'operator',
    log,
    isProduction: loaded.isProduction,
    report: (step) => terminal.live(`${step} …`),
    makesEmbedded: true,
  })
  await using _ = ctx
  // the embedded one is of this folder; any other might be the wrong one
  if (ctx.access.embeddedHome === undefined) terminal.platform(describePlatform(ctx))
  await terminal.result(`$ validonx tenant provision ${demoSeed.tenant.slug}`)
  await provisionTenant(ctx, demoSeed.tenant, {
    report: reportStages(terminal),
    deliver: (provisioned) => showProvisioned(terminal, provisioned),
    signal,
  })
  const { slug } = demoSeed.tenant
  const { secret } = await createApiKey(ctx, {
    slug,
    name: demoSeed.apiKeyName,
    replaceNamesakes: true,
  })
  return { apiKey: secret, licenseKey: await demoLicense(ctx), startedServer }
}

async function demoLicense(ctx: Context): Promise<string> {
  const scope = await enterTenant(ctx, demoSeed.tenant.slug)
  const { code, name } = demoSeed.product
  await ensureProduct(scope, { code, name })
  const [known] = await listLicenses(scope.db, {
    product: code,
    status: 'active',
    now: scope.now(),
    limit: 1,
  })
  if (known) return known.key
  const { license } = (await issueLicense(scope, { product: code, ...demoSeed.license })).result
  return license.key
}
