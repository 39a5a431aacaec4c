import { systemActor } from '../core/actor.js'
import { describePlatform } from '../core/context.js'
import { createLog, type Log } from '../core/log.js'
import { createOutageLog } from '../core/outage-log.js'
import type { Session } from './runtime.js'

/** Seconds that closing may take after an unexpected error, beyond what draining takes. */
const CLOSING_SECONDS = 10

/**
 * Serves until `work` is done, then stops without losing a request. An exception that nothing caught ends it
 * in the same way, with the exit status of SERVER.INTERNAL. It is the only place where the CLI imports the
 * server, and only when it serves.
 */
export async function withServer(
  { runtime, loaded }: Session,
  work: (url: string, log: Log) => Promise<void>,
): Promise<void> {
  const { openPlatform } = await import('../core/platform/open-platform.js')
  const { listen } = await import('../server/listen.js')
  const { config } = loaded
  const everything = createLog(config.logLevel, (line) => runtime.stderr.write(line))
  using outages = createOutageLog(everything)
  const { log } = outages
  if (loaded.ignored.length > 0)
    log.info(
      'ignored variables that Kubernetes made for a Service; "enableServiceLinks: false" keeps them out',
      { variables: loaded.ignored },
    )
  let stop = async (): Promise<void> => {}
  const stopWatching = runtime.onCrash({
    report: (error) => everything.error('unexpected error: stopping', { error }),
    close: () => stop(),
    withinSeconds: config.drainDelay + config.stopTimeout + CLOSING_SECONDS,
  })
  try {
    const { ctx } = await openPlatform(config, {
      role: 'runtime',
      log,
      isProduction: loaded.isProduction,
      actor: systemActor('serve'),
      makesEmbedded: true,
      report: (step) => log.info('preparing the platform', { step }),
    })
    await using _ = ctx
    outages.probeWith(() => ctx.platform.raw('select 1'))
    const server = await listen(ctx)
    let stopped: Promise<void> | undefined
    stop = () => {
      stopped ??= (async () => {
        log.info('stopping')
        const clean = await server.stop()
        log.info('stopped', { clean })
        if (!clean) runtime.setExit(1)
      })()
      return stopped
    }
    log.info('listening', { url: server.url, platform: describePlatform(ctx) })
    try {
      await work(server.url, log)
    } finally {
      await stop()
    }
  } finally {
    stopWatching()
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
