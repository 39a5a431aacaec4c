import { resolve } from 'node:path'
import { describePlatform } from '../../core/context.js'
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
  })
    .option('--runtime-url', 'print the value of VALIDONX_RUNTIME_URL, with its password, again')
    .action(
      withSession(runtime, async ({ terminal, loaded, log }, options: { runtimeUrl?: true }) => {
        const { openForInit } = await import('../../core/platform/open-platform.js')
        // like "git init", here and in no folder above
        const home = loaded.origins.home === 'default' ? '.validonx' : loaded.config.home
        const config = { ...loaded.config, home: resolve(runtime.folder, home) }
        const { isProduction } = loaded
        const { ctx } = await openForInit(config, { log, isProduction })
        await using _ = ctx
        const platform = await initPlatform(ctx, (step) => terminal.remark(`· ${step}`))
        // the embedded server's login is found by every command: nothing is to be set, or kept secret
        const isEmbedded = ctx.access.embeddedHome !== undefined
        // a new application key has a new login that was never shown
        const isNew = platform.created || platform.earlierLogins.length > 0
        const showsLogin = !isEmbedded && (isNew || options.runtimeUrl === true)
        await terminal.record(
          {
            platform_id: platform.platformId,
            database: platform.database,
            created: platform.created,
            migrations: platform.migrations,
            plans: platform.plans,
            server_version: platform.serverVersion,
            runtime_url: isEmbedded ? null : platform.runtimeUrl,
            earlier_runtime_logins: platform.earlierLogins,
          },
          () =>
            formatFields([
              ['platform', `${describePlatform(ctx)} (${platform.platformId})`],
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
              [
                'serve with',
                showsLogin ? `VALIDONX_RUNTIME_URL=${platform.runtimeUrl}` : undefined,
              ],
            ]),
        )
        if (!isEmbedded && platform.earlierLogins.length > 0)
          terminal.remark(afterRotation(platform.earlierLogins))
        if (showsLogin) terminal.remark(KEEP)
        else if (!isEmbedded) terminal.remark(AGAIN)
      }),
    )

const KEEP = [
  '',
  'The last line holds a password: keep it like one. Set it, with the same VALIDONX_APP_KEY,',
  'for every "validonx serve"; those processes need no other login.',
].join('\n')

const AGAIN =
  '\n"validonx init --runtime-url" shows the value of VALIDONX_RUNTIME_URL, with its password.'

const afterRotation = (keyIds: readonly string[]): string =>
  [
    '',
    `Processes with the VALIDONX_RUNTIME_URL of an earlier application key still work (${keyIds.join(', ')}).`,
    'Restart each with the URL above before "validonx keyring retire" drops their login.',
  ].join('\n')
