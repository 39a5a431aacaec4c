import { channel } from 'node:diagnostics_channel'
import type { PlatformDb } from '../db/connect.js'
import { causeOf } from '../driver-failure.js'
import { AppError, asAppError } from '../errors.js'
import { scrub } from '../scrub.js'
import { setTenantStatus } from '../tenants/tenant-store.js'
import type { Job, Stage } from './stage.js'
import { recordStages, type StageChange, type StageStatus } from './stage-store.js'

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
 * stage's end goes with whatever is written next: the next one's start, or its whole effect.
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
  const { ctx, tenant, lease, finished } = job
  let unwritten: StageChange[] = []
  const write = async (db: PlatformDb, changes: readonly StageChange[]) => {
    if (changes.length > 0) await recordStages(db, lease, tenant.id, changes)
  }
  const publish = (stage: string, point: string) =>
    provisioningChannel.publish({ tenantId: tenant.id, stage, point })
  const written = () => {
    for (const { stage, status } of unwritten) if (status === 'done') publish(stage, 'after record')
    unwritten = []
  }

  for (const [index, stage] of stages.entries()) {
    const progress = { stage: stage.name, position: index + 1, of: stages.length }
    if (signal?.aborted) {
      await write(ctx.platform, unwritten)
      throw new AppError('USAGE.INTERRUPTED', `Provisioning "${tenant.slug}"`)
    }
    const fail = async (thrown: unknown, changes: readonly StageChange[]): Promise<never> => {
      await recordFailure(job, stage.name, changes, thrown)
      throw stopped(thrown, tenant.slug, stage.name)
    }
    // if a check can't run, its stage's record is left unchanged
    const isThere = async () =>
      finished.has(stage.name) &&
      (await stage.check(job).catch((thrown: unknown) => fail(thrown, unwritten)))
    if (await isThere()) {
      report({ ...progress, state: 'kept' })
      continue
    }

    const record = { stage: stage.name, position: index + 1, startedAt: ctx.now() }
    const startIsWritten = stage.effect === 'database server'
    if (startIsWritten) {
      await write(ctx.platform, [...unwritten, { ...record, status: 'running', startedNow: true }])
      written()
    }
    report({ ...progress, state: 'running' })
    publish(stage.name, 'before effect')
    const start = performance.now()
    const elapsed = () => Math.round(performance.now() - start)
    const ended = (status: StageStatus): StageChange => ({
      ...record,
      status,
      startedNow: !startIsWritten,
      finishedAt: ctx.now(),
      durationMs: elapsed(),
    })
    let endIsWritten = false
    job.recordEnd = async (transaction) => {
      await write(transaction, [...unwritten, ended('done')])
      endIsWritten = true
    }
    try {
      lease.assertHeld()
      await stage.run(job)
    } catch (thrown) {
      report({ ...progress, state: 'failed', durationMs: elapsed() })
      await fail(thrown, [...unwritten, ended('failed')])
    }
    publish(stage.name, 'after effect')
    unwritten.push(ended('done'))
    if (endIsWritten) written()
    report({ ...progress, state: 'done', durationMs: elapsed() })
  }
  await write(ctx.platform, unwritten)
  written()
}

/** A decision of ours keeps its own code, so that it says what to do; anything else is where it stopped. */
function stopped(thrown: unknown, slug: string, stage: string): AppError {
  const failure = asAppError(thrown)
  if (failure.code !== 'SERVER.INTERNAL') return failure.with({ ...failure.details, stage })
  return new AppError('PROVISIONING.STOPPED', slug, stage)
    .with({ stage })
    .because(failure.cause ?? thrown)
}

/** Best effort: where the platform itself is away, the record still says `running`, and a resumed run knows. */
async function recordFailure(
  job: Job,
  stage: string,
  changes: readonly StageChange[],
  thrown: unknown,
): Promise<void> {
  const { ctx, tenant, lease } = job
  const failure = asAppError(thrown)
  // the server's words, or our own where a check of ours found the fault
  const { cause } = failure
  const sentence = causeOf(thrown)?.sentence ?? (cause instanceof Error ? scrub(cause.message) : '')
  const because = sentence === '' ? '' : ` Because: ${sentence}`
  const error = `${failure.code}: ${failure.message}${because}`
  try {
    const records = changes.map((change) =>
      change.stage === stage ? { ...change, error } : change,
    )
    if (records.length > 0) await recordStages(ctx.platform, lease, tenant.id, records)
    await setTenantStatus(
      ctx.platform,
      tenant.id,
      ['provisioning'],
      'failed',
      ctx.now(),
      `${stage}: ${error}`,
    )
  } catch (cause) {
    ctx.log.warn('a failed stage could not be written down', { stage, error: cause })
  }
}
