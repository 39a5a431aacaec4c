import { systemActor } from '../core/actor.js'
import { createLog, type Log } from '../core/log.js'
import type { Session } from './runtime.js'

/**
 * Serves until `work` is done, then stops without losing a request. It is the one place where the CLI
 * reaches for the server, and only when it serves.
 */
export async function withServer(
  { runtime, loaded }: Session,
  work: (url: string, log: Log) => Promise<void>,
): Promise<void> {
  const { openPlatform } = await import('../core/platform/open-platform.js')
  const { listen } = await import('../server/listen.js')
  const { config } = loaded
  const log = createLog(config.logLevel, (line) => runtime.stderr.write(line))
  if (loaded.ignored.length > 0)
    log.info(
      'ignored variables that Kubernetes made for a Service; "enableServiceLinks: false" keeps them out',
      { variables: loaded.ignored },
    )
  const { ctx } = await openPlatform(config, {
    role: 'runtime',
    log,
    isProduction: loaded.isProduction,
    actor: systemActor('serve'),
  })
  await using _ = ctx
  const server = await listen(ctx)
  log.info('listening', { url: server.url })
  try {
    await work(server.url, log)
  } finally {
    log.info('stopping')
    const clean = await server.stop()
    log.info('stopped', { clean })
    if (!clean) runtime.setExit(1)
  }
}

/** Resolves at the first Ctrl-C or SIGTERM. */
export const untilStopped = ({ signal }: Session): Promise<void> =>
  new Promise((done) => {
    // without this, an event loop that only waits for a signal would end by itself
    const alive = setInterval(() => {}, 60_000)
    const stop = () => {
      clearInterval(alive)
      done()
    }
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
  })
