import { initPlatform } from '../../core/platform/init-platform.js'
import { createCommand } from '../command.js'
import { type Runtime, withSession } from '../runtime.js'
import { formatFields } from '../terminal.js'

export const init = (runtime: Runtime) =>
  createCommand({
    name: 'init',
    about: 'prepare the platform: its database, plans, runtime login and template; safe to repeat',
    examples: [
      ['init', 'on the server of VALIDONX_DATABASE_URL, else the embedded one'],
      ['init --json | jq -r .runtime_url', 'the value of VALIDONX_RUNTIME_URL alone'],
    ],
  }).action(
    withSession(runtime, async ({ terminal, loaded, log }) => {
      const { openForInit } = await import('../../core/platform/open-platform.js')
      const { isProduction } = loaded
      const { ctx } = await openForInit(loaded.config, { log, isProduction })
      await using _ = ctx
      const platform = await initPlatform(ctx, (step) => terminal.remark(`· ${step}`))
      await terminal.record(
        {
          platform_id: platform.platformId,
          database: platform.database,
          created: platform.created,
          migrations: platform.migrations,
          plans: platform.plans,
          server_version: platform.serverVersion,
          runtime_url: platform.runtimeUrl,
          earlier_runtime_logins: platform.earlierLogins,
        },
        () =>
          formatFields([
            ['platform', `${platform.database} (${platform.platformId})`],
            ['server', platform.serverVersion],
            [
              'migrations',
              platform.migrations.length === 0
                ? 'up to date'
                : `${platform.migrations.length} applied`,
            ],
            [
              'plans',
              platform.plans.length === 0 ? 'all there' : `${platform.plans.join(', ')} written`,
            ],
            ['serve with', `VALIDONX_RUNTIME_URL=${platform.runtimeUrl}`],
          ]),
      )
      if (platform.earlierLogins.length > 0) terminal.remark(afterRotation(platform.earlierLogins))
      terminal.remark(
        [
          '',
          'The last line holds a password: keep it like one. Set it, with the same VALIDONX_APP_KEY,',
          'for every "validonx serve"; those processes need no other login.',
        ].join('\n'),
      )
    }),
  )

const afterRotation = (keyIds: readonly string[]): string =>
  [
    '',
    `Processes with the VALIDONX_RUNTIME_URL of an earlier application key still work (${keyIds.join(', ')}).`,
    'Restart each with the URL above before "validonx keyring retire" drops their login.',
  ].join('\n')
