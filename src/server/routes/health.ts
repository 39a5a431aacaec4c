import { Hono } from 'hono'
import type { ServerEnv } from '../env.js'

/** Whether this process should be sent requests, and why not. */
export type Readiness = () => Promise<{ readonly ready: boolean; readonly reason?: string }>

/**
 * `/healthz` asks nothing of anyone: a process that answers lives. `/readyz` asks the platform
 * database. Neither names a tenant or a version.
 */
export const health = (readiness: Readiness) =>
  new Hono<ServerEnv>()
    .get('/healthz', (c) =>
      c.json({ status: 'pass' }, 200, { 'Content-Type': 'application/health+json' }),
    )
    .get('/readyz', async (c) => {
      const { ready, reason } = await readiness()
      return c.json(
        ready ? { status: 'pass' } : { status: 'fail', output: reason },
        ready ? 200 : 503,
        {
          'Content-Type': 'application/health+json',
        },
      )
    })
