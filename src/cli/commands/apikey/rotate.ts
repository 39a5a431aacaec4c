import { rotateApiKey } from '../../../core/access/rotate-api-key.js'
import { createCommand } from '../../command.js'
import { readDuration } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'
import { showMinted } from './shown.js'

type Options = {
  readonly tenant: string
  readonly key?: string
  readonly grace: string
  readonly yes?: true
}

export const apiKeyRotate = (runtime: Runtime) =>
  createCommand({
    name: 'rotate',
    about: 'make a successor of an API key and let the old one live a while',
    examples: [
      ['apikey rotate --tenant acme', 'the old key works for another day'],
      ['apikey rotate --tenant acme --key vx_H4RQGC --grace 0 --yes', 'the old key ends now'],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--key <key>', 'which one, by id, prefix or last four (default: the only one)')
    .option('--grace <time>', 'how long the old key works on: 90s, 15m, 24h, 7d or 0', '24h')
    .option('--yes', 'do not ask, where the old key would end at once')
    .action(
      withContext(runtime, async ({ ctx, terminal }, { tenant, key, grace, yes }: Options) => {
        const graceSeconds = readDuration(grace, '--grace')
        const question = 'End the old key at once?'
        if (graceSeconds === 0 && !yes && !(await terminal.confirm(question, '--yes'))) {
          return terminal.note('Nothing was done.')
        }
        await rotateApiKey(
          ctx,
          { slug: tenant, graceSeconds, ...(key ? { key } : {}) },
          (rotated) =>
            showMinted(terminal, rotated, ctx.now(), [
              ['replaces', `${rotated.replaced.prefix}…${rotated.replaced.lastFour}`],
              ['old key ends', rotated.oldEndsAt.toISOString()],
            ]),
        )
      }),
    )
