import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { PlatformDb } from '../../../src/core/db/connect.js'
import { type Holder, isKnownDead, thisProcess } from '../../../src/core/db/holder.js'
import { withLease } from '../../../src/core/db/lease.js'
import { rowsOf } from '../../../src/core/db/statements.js'
import { inTransaction } from '../../../src/core/db/transaction.js'
import { codeOf } from '../../support/code-of.js'
import { eventually } from '../../support/eventually.js'
import { test } from '../../support/house.js'

const elsewhere = (name: string): Holder => ({ name, machine: undefined, pid: 1 })
const outcomeOf = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

/** Whether that time has passed by the database's clock. */
async function isOver(db: PlatformDb, time: Date): Promise<boolean> {
  const [row] = await rowsOf<{ is_over: number }>(db, 'select utc_timestamp(6) > ? as is_over', [
    time,
  ])
  return row?.is_over === 1
}

test('of twenty callers at once one works at a time, and generations rise', async ({ ctx }) => {
  let working = 0
  let most = 0
  const generations: number[] = []
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      outcomeOf(
        withLease(
          ctx.platform,
          'contended',
          { holder: elsewhere(`h${index}`), seconds: 30 },
          async (lease) => {
            working += 1
            most = Math.max(most, working)
            generations.push(lease.generation)
            await sleep(5)
            working -= 1
          },
        ),
      ),
    ),
  )

  expect(most).toBe(1)
  expect(outcomes.filter((outcome) => outcome !== 'done' && outcome !== 'LEASE.HELD')).toEqual([])
  expect(outcomes).toContain('done')
  expect([...generations].sort((a, b) => a - b)).toEqual(generations)
  expect(new Set(generations).size).toBe(generations.length)
})

test('a holder that fell silent is fenced off once another has taken over', async ({ ctx }) => {
  const silent = withLease(
    ctx.platform,
    'silent',
    { holder: elsewhere('silent'), seconds: 1 },
    async (lease) => {
      // its renewals stop, as those of a paused process do
      await ctx
        .platform('leases')
        .where({ name: 'silent' })
        .update({ expires_at: ctx.platform.raw('utc_timestamp(6)') })
      const taken = await outcomeOf(
        withLease(
          ctx.platform,
          'silent',
          { holder: elsewhere('next'), seconds: 30 },
          async (next) => {
            expect(next.generation).toBe(lease.generation + 1)
            return inTransaction(ctx.platform, async (transaction) => lease.fence(transaction))
          },
        ),
      )
      expect(taken).toBe('LEASE.LOST')
      lease.assertHeld()
    },
  )

  expect(await outcomeOf(silent)).toBe('LEASE.LOST')
})

test('a lease is renewed for as long as the work lasts', async ({ ctx }) => {
  const outcome = await outcomeOf(
    withLease(
      ctx.platform,
      'renewed',
      { holder: elsewhere('worker'), seconds: 3 },
      async (lease) => {
        const { expires_at: ends } = await ctx
          .platform('leases')
          .where({ name: 'renewed' })
          .first('expires_at')
        await eventually(() => isOver(ctx.platform, ends))
        lease.assertHeld()
        expect(
          await outcomeOf(
            withLease(
              ctx.platform,
              'renewed',
              { holder: elsewhere('other'), seconds: 1 },
              async () => {},
            ),
          ),
        ).toBe('LEASE.HELD')
      },
    ),
  )

  expect(outcome).toBe('done')
})

test('the lease of a process that is known to be dead is taken over at once', async ({ ctx }) => {
  const self = thisProcess()
  const dead: Holder = { name: 'dead', machine: self.machine, pid: 4_194_303 }
  await ctx.platform('leases').insert({
    name: 'dead',
    holder: dead.name,
    machine: dead.machine ?? null,
    pid: dead.pid,
    generation: 7,
    acquired_at: ctx.platform.raw('utc_timestamp(6)'),
    expires_at: ctx.platform.raw('timestampadd(hour, 1, utc_timestamp(6))'),
  })

  const generation = await withLease(
    ctx.platform,
    'dead',
    { holder: self, seconds: 30 },
    async (lease) => lease.generation,
  )

  expect(generation).toBe(8)
  expect(isKnownDead({ ...dead, machine: undefined }, self)).toBe(false)
  expect(isKnownDead({ ...dead, machine: 'another/1' }, self)).toBe(false)
  expect(isKnownDead({ ...dead, pid: process.ppid }, self)).toBe(false)
})

test('a fence holds a takeover off until the transaction has ended', async ({
  ctx,
  provisioner,
}) => {
  const order: string[] = []
  await withLease(
    ctx.platform,
    'fenced',
    { holder: elsewhere('writer'), seconds: 30 },
    async (lease) => {
      let takeover: Promise<unknown> = Promise.resolve()
      await inTransaction(ctx.platform, async (transaction) => {
        await lease.fence(transaction)
        takeover = ctx
          .platform('leases')
          .where({ name: 'fenced' })
          .update({ generation: 99 })
          .then(() => order.push('taken over'))
        const isWaiting = async () =>
          (await provisioner.rows<{ Info: string | null }>('show full processlist')).some(
            ({ Info }) => Info?.startsWith('update `leases` set `generation` = 99'),
          )
        await eventually(isWaiting)
        order.push('committed')
      })
      await takeover
    },
  )

  expect(order).toEqual(['committed', 'taken over'])
})
