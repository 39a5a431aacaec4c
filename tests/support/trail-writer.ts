import { settleTrail } from '../../src/core/audit/trail-keeper.js'
import { newId } from '../../src/core/ids.js'
import { ensureProduct } from '../../src/core/products/create-product.js'
import { updateSettings } from '../../src/core/tenants/change-settings.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { type Environment, open } from './platform.js'

/**
 * Run in a process of its own, to be killed: in each tenant at once, makes products, relays their
 * events and seals them, over and over, as fast as it can. Prints `ready` when it begins.
 */
const { TRAIL_WRITER_SLUGS = '', ...environment } = process.env as Environment
const ctx = await open(environment)
const scopes = await Promise.all(
  TRAIL_WRITER_SLUGS.split(',').map((slug) => enterTenant(ctx, slug)),
)
for (const scope of scopes) await updateSettings(scope, {})
process.stdout.write('ready\n')
await Promise.all(
  scopes.map(async (scope) => {
    for (;;) {
      await ensureProduct(scope, { code: newId(), name: 'P' })
      await settleTrail(ctx, [scope.tenant])
    }
  }),
)
