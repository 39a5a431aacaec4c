import { createCommand } from '../command.js'
import { type Runtime, withSession } from '../runtime.js'
import { untilStopped, withServer } from '../serving.js'

export const serve = (runtime: Runtime) =>
  createCommand({
    name: 'serve',
    about: 'answer the API until told to stop; needs only the runtime login',
    prints: false,
    examples: [
      ['serve', 'on 127.0.0.1:8080, with the embedded database unless one is configured'],
      ['serve --host 0.0.0.0 --port 80', 'in a container'],
    ],
  })
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--port <port>', 'port to listen on; 0 takes a free one (default: 8080)')
    .action(
      withSession(runtime, (session) =>
        withServer(session, async (url) => {
          if (runtime.stderr.isTTY) session.terminal.note(`Listening on ${url}. Ctrl-C stops.`)
          await untilStopped(session)
        }),
      ),
    )
