import { inspectRateLimits } from '../../../core/access/inspect-rate-limits.js'
import { createCommand } from '../../command.js'
import { type Runtime, withContext } from '../../runtime.js'
import { withSharedLimits } from './limits.js'

export const rateLimitShow = (runtime: Runtime) =>
  createCommand({
    name: 'show',
    about: 'show how much of their limits a tenant and its keys have used',
    examples: [['ratelimit show --tenant acme', 'needs VALIDONX_REDIS_URL']],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .action(
      withContext(runtime, (session, { tenant }: { tenant: string }) =>
        withSharedLimits(session, async (limits) => {
          await session.terminal.rows(
            await inspectRateLimits(session.ctx, limits, tenant),
            [
              { title: 'scope', value: ({ scope }) => scope },
              { title: 'of', value: ({ of }) => of },
              { title: 'used', value: ({ used, limit }) => `${used} of ${limit}` },
              { title: 'period', value: ({ periodSeconds }) => `${periodSeconds} s` },
              { title: 'starts anew', value: ({ resetAt }) => resetAt?.toISOString() ?? '-' },
            ],
            ({ scope, of, limit, periodSeconds, used, resetAt }) => ({
              scope,
              of,
              limit,
              period_seconds: periodSeconds,
              used,
              reset_at: resetAt ?? null,
            }),
          )
        }),
      ),
    )
