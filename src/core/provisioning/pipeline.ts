import { channel } from 'node:diagnostics_channel'
import { AppError, asAppError } from '../errors.js'
import { setTenantStatus } from '../tenants/tenant-store.js'
import type { Job, Stage } from './stage.js'
import { listStageRecords, recordStages, type StageChange } from './stage-store.js'

export type StageState = 'kept' | 'running' | 'done' | 'failed'

/** Told of each stage as it goes: to the terminal, the log or a test. */
export type Report = (progress: {
  readonly stage: string
  readonly position: number
  readonly of: number
  readonly state: StageState
  readonly durationMs?: number
}) => void

/**
 * For tracing, and for the crash tests: every message is sent before the next thing happens.
 * Shape: `{ tenantId, stage, point }`, point one of `before effect`, `after effect`, `after record`.
 */
export const provisioningChannel = channel('validonx:provisioning')

/**
 * Runs in order what is not done yet, and writes each stage down as it ends: a second call resumes.
 * A stage counts as done where it is written down *and* its effect is there. The record of one
 * stage's end and of the next one's start are one statement.
 *
 * @throws PROVISIONING.STOPPED with the stage's failure as its cause; LEASE.LOST; USAGE.INTERRUPTED
 *   between two stages after `signal` was aborted
 */
export async function runStages(
  job: Job,
  stages: readonly Stage[],
  report: Report,
  signal?: AbortSignal,
): Promise<void> {
  const { ctx, tenant, lease } = job
  const records = await listStageRecords(ctx.platform, tenant.id)
  const done = new Set(records.filter(({ status }) => status === 'done').map(({ stage }) => stage))
  let ended: StageChange[] = []
  const write = async (...changes: readonly StageChange[]) => {
    const all = [...ended, ...changes]
    ended = []
    if (all.length > 0) await recordStages(ctx.platform, lease, tenant.id, all)
  }

  for (const [index, stage] of stages.entries()) {
    const progress = { stage: stage.name, position: index + 1, of: stages.length }
    const publish = (point: string) =>
      provisioningChannel.publish({ tenantId: tenant.id, stage: stage.name, point })
    if (signal?.aborted) {
      await write()
      throw new AppError('USAGE.INTERRUPTED', `Provisioning "${tenant.slug}"`)
    }
    if (done.has(stage.name) && (await stage.check(job))) {
      report({ ...progress, state: 'kept' })
      continue
    }

    const startedAt = ctx.now()
    const record = { stage: stage.name, position: index + 1, startedAt }
    const previous = ended.at(-1)?.stage
    await write({ ...record, status: 'running', startedNow: true })
    if (previous !== undefined) {
      provisioningChannel.publish({ tenantId: tenant.id, stage: previous, point: 'after record' })
    }
    report({ ...progress, state: 'running' })
    publish('before effect')
    const start = performance.now()
    const elapsed = () => Math.round(performance.now() - start)
    try {
      lease.assertHeld()
      await stage.run(job)
    } catch (thrown) {
      report({ ...progress, state: 'failed', durationMs: elapsed() })
      await recordFailure(
        job,
        {
          ...record,
          status: 'failed',
          startedNow: false,
          finishedAt: ctx.now(),
          durationMs: elapsed(),
        },
        thrown,
      )
      throw stopped(thrown, tenant.slug, stage.name)
    }
    publish('after effect')
    ended = [
      {
        ...record,
        status: 'done',
        startedNow: false,
        finishedAt: ctx.now(),
        durationMs: elapsed(),
      },
    ]
    report({ ...progress, state: 'done', durationMs: elapsed() })
  }
  const last = ended.at(-1)?.stage
  await write()
  if (last !== undefined)
    provisioningChannel.publish({ tenantId: tenant.id, stage: last, point: 'after record' })
}

/** A decision of ours keeps its own code, so that it says what to do; anything else is where it stopped. */
function stopped(thrown: unknown, slug: string, stage: string): AppError {
  const failure = asAppError(thrown)
  if (failure.code !== 'SERVER.INTERNAL') return failure
  return new AppError('PROVISIONING.STOPPED', slug, stage).because(failure.cause ?? thrown)
}

/** Best effort: where the platform itself is away, the record still says `running`, and a resumed run knows. */
async function recordFailure(job: Job, change: StageChange, thrown: unknown): Promise<void> {
  const { ctx, tenant, lease } = job
  const failure = asAppError(thrown)
  const error = `${failure.code}: ${failure.message}`
  try {
    await recordStages(ctx.platform, lease, tenant.id, [{ ...change, error }])
    await setTenantStatus(
      ctx.platform,
      tenant.id,
      ['provisioning'],
      'failed',
      ctx.now(),
      `${change.stage}: ${error}`,
    )
  } catch (cause) {
    ctx.log.warn('a failed stage could not be written down', { stage: change.stage, error: cause })
  }
}
