import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { type Holder, isKnownDead, thisProcess } from '../../../src/core/db/holder.js'
import { withLease } from '../../../src/core/db/lease.js'
import { inTransaction } from '../../../src/core/db/transaction.js'
import { test } from '../../support/house.js'

const elsewhere = (name: string): Holder => ({ name, machine: undefined, pid: 1 })
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: { code?: string }) => error.code,
  )

test('of twenty callers at once one works at a time, and generations rise', async ({ ctx }) => {
  let working = 0
  let most = 0
  const generations: number[] = []
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      codeOf(
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
      const taken = await codeOf(
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

  expect(await codeOf(silent)).toBe('LEASE.LOST')
})

test('a lease is renewed for as long as the work lasts', async ({ ctx }) => {
  const outcome = await codeOf(
    withLease(
      ctx.platform,
      'renewed',
      { holder: elsewhere('worker'), seconds: 1 },
      async (lease) => {
        await sleep(1500)
        lease.assertHeld()
        expect(
          await codeOf(
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

test('a fence holds a takeover off until the transaction has ended', async ({ ctx }) => {
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
        await sleep(200)
        order.push('committed')
      })
      await takeover
    },
  )

  expect(order).toEqual(['committed', 'taken over'])
})
