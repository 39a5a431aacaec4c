import { resetRateLimits } from '../../../core/access/inspect-rate-limits.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { withSharedLimits } from './limits.js'

export const rateLimitReset = (runtime: Runtime) =>
  createCommand({
    name: 'reset',
    about: 'start the windows of a tenant and of its keys anew',
    examples: [['ratelimit reset --tenant acme', 'needs VALIDONX_REDIS_URL']],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(runtime, (session, { tenant }: { tenant: string }) =>
        withSharedLimits(session, async (limits) => {
          const count = await resetRateLimits(session.ctx, limits, tenant)
          await session.terminal.record({ reset: count }, () => `${count} windows start anew`)
        }),
      ),
    )
