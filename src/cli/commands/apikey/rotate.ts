import { type Rotated, rotateApiKey } from '../../../core/access/rotate-api-key.js'
import { createCommand } from '../../command.js'
import { readDuration } from '../../durations.js'
import { type Runtime, withContext } from '../../runtime.js'
import type { Terminal } from '../../terminal.js'
import { shortKey, showMinted } from './shown.js'

type Options = {
  readonly tenant: string
  readonly key?: string
  readonly grace: string
  readonly yes?: true
}

export const apiKeyRotate = (runtime: Runtime) =>
  createCommand({
    name: 'rotate',
    fields: { graceSeconds: '--grace' },
    about: 'make a successor of an API key and keep the old one working for a grace time',
    examples: [
      ['apikey rotate --tenant acme', 'the old key works for another day'],
      ['apikey rotate --tenant acme --key vx_H4RQGC --grace 0 --yes', 'the old key ends now'],
    ],
  })
    .requiredOption('--tenant <slug>', 'the tenant')
    .option('--key <key>', 'which one, by id, prefix or last four (default: the only one)')
    .option(
      '--grace <time>',
      'how long the old key still works: 90s, 15m, 24h, 7d or 0; a key rotated earlier keeps its promised end unless you name it with --key and set 0',
      '24h',
    )
    .option('--yes', 'do not ask if the old key would end at once')
    .action(
      withContext(runtime, async ({ ctx, terminal }, { tenant, key, grace, yes }: Options) => {
        const graceSeconds = readDuration(grace, '--grace')
        const question = key ? `End API key "${key}" at once?` : 'End the old key at once?'
        if (graceSeconds === 0 && !yes && !(await terminal.confirm(question, '--yes'))) {
          return terminal.note('Nothing was done.')
        }
        let shownEnd = 0
        const { replaced, oldEndsAt } = await rotateApiKey(
          ctx,
          { slug: tenant, graceSeconds, ...(key ? { key } : {}) },
          (made) => {
            shownEnd = made.oldEndsAt.getTime()
            return showRotated(terminal, made, ctx.now())
          },
        )
        // meanwhile the API has rotated the same key and promised it more
        if (oldEndsAt.getTime() !== shownEnd && oldEndsAt > ctx.now())
          terminal.note(`${shortKey(replaced)} works until ${oldEndsAt.toISOString()}.`)
      }),
    )

const showRotated = (terminal: Terminal, rotated: Rotated, now: Date): Promise<void> => {
  const { replaced, oldEndsAt, stillWorking } = rotated
  return showMinted(terminal, rotated, now, {
    fields: [
      ['replaces', shortKey(replaced)],
      ['old key ends', oldEndsAt.toISOString()],
      ...stillWorking
        .filter(({ id }) => id !== replaced.id)
        .map((key): [string, string] => [
          'still works',
          `${shortKey(key)} until ${key.expiresAt?.toISOString() ?? 'it is revoked'}`,
        ]),
    ],
    json: {
      replaces: shortKey(replaced),
      old_key_ends: oldEndsAt,
      still_working: stillWorking.map(({ id, prefix, lastFour, expiresAt }) => ({
        id,
        prefix,
        last_four: lastFour,
        ends_at: expiresAt ?? null,
      })),
    },
  })
}
