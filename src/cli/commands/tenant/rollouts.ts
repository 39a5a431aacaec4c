import { shortId } from '../../../core/fleet/rollout.js'
import { countByStatus, listRollouts } from '../../../core/fleet/rollout-store.js'
import { createCommand } from '../../command.js'
import { type Runtime, withFleet } from '../../runtime.js'
import { targetText } from './plan-text.js'
import { rolloutObject } from './rollout.js'

const SHOWN = 20

export const tenantRollouts = (runtime: Runtime) =>
  createCommand({
    name: 'rollouts',
    about: 'list the last rollouts of migrations, newest first',
    examples: [
      ['tenant rollouts', 'the last twenty'],
      ['tenant rollout show <id>', 'one of them, tenant by tenant'],
    ],
  }).action(
    withFleet(runtime, async ({ ctx, terminal }) => {
      const rollouts = []
      for (const rollout of await listRollouts(ctx.platform, SHOWN))
        rollouts.push({ rollout, counts: await countByStatus(ctx.platform, rollout.id) })
      await terminal.rows(
        rollouts,
        [
          { title: 'id', value: ({ rollout }) => shortId(rollout.id) },
          { title: 'status', value: ({ rollout }) => rollout.status },
          {
            title: 'started',
            value: ({ rollout }) => rollout.startedAt.toISOString().slice(0, 16).replace('T', ' '),
          },
          {
            title: 'target',
            value: ({ rollout }) => targetText(rollout),
          },
          {
            title: 'done',
            value: ({ rollout, counts }) => `${counts.done ?? 0}/${rollout.tenants}`,
          },
          { title: 'failed', value: ({ counts }) => String(counts.failed ?? 0) },
        ],
        ({ rollout, counts }) => ({ ...rolloutObject(rollout), counts }),
      )
      if (rollouts.length === 0)
        terminal.remark(
          'No rollout yet. "validonx tenant migrate" starts one if something is pending.',
        )
    }),
  )
