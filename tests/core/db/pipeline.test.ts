import type { Socket } from 'node:net'
import type { Connection, RowDataPacket } from 'mysql2'
import { expect, inject } from 'vitest'
import { openConnection } from '../../../src/core/db/connect.js'
import { runTogether } from '../../../src/core/db/pipeline.js'
import { parseDatabaseUrl } from '../../../src/core/db/server-address.js'
import { runOn } from '../../../src/core/db/statements.js'
import { test as house } from '../../support/house.js'

const FIRST = 'set @before = 7'
const SECOND = 'select @before as before_, ? as text_'
const LONG = '日'.repeat(100_000)

const test = house.extend(
  'connection',
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads from it that no fixture is needed
  async ({}, { onCleanup }): Promise<Connection & { stream: Socket; odd: string[] }> => {
    const { address, login } = parseDatabaseUrl(inject('databaseUrl'), {})
    const connection = await openConnection({ address, login, connectTimeoutMs: 5_000 })
    const odd: string[] = []
    // the driver reports packets that come in another order than it expects
    connection.on('warn' as 'error', ({ message }) => odd.push(message))
    onCleanup(() => connection.destroy())
    return Object.assign(connection as Connection & { stream: Socket }, { odd })
  },
)

test('two statements are sent before the first is answered, which the driver alone does not do', async ({
  connection,
}) => {
  const { stream } = connection
  const sentBy = (work: () => unknown): number => {
    const before = stream.bytesWritten
    work()
    return stream.bytesWritten - before
  }
  const both = FIRST.length + SECOND.length
  let answers: readonly Promise<unknown>[] = []
  const pipelined = sentBy(() => {
    answers = runTogether(connection, [{ sql: FIRST }, { sql: SECOND, values: ['x'] }])
  })
  await Promise.all(answers)
  const inTurn = sentBy(() => {
    answers = [runOn(connection, FIRST), runOn(connection, SECOND, ['x'])]
  })
  await Promise.all(answers)

  expect(pipelined).toBeGreaterThan(both)
  expect(inTurn).toBeLessThan(both)
})

test('each statement gets its own answer, however long, time after time', async ({
  connection,
}) => {
  const texts = ['', 'x', LONG, "'; drop table x; --"]
  const found: unknown[] = []
  for (const text of [...texts, ...texts]) {
    const [, second] = runTogether(connection, [{ sql: FIRST }, { sql: SECOND, values: [text] }])
    found.push(...((await second) as RowDataPacket[]))
    found.push(...(await runOn<RowDataPacket[]>(connection, 'select 1 as one')))
  }

  expect(found).toEqual(
    [...texts, ...texts].flatMap((text) => [{ before_: 7, text_: text }, { one: 1 }]),
  )
  expect(connection.odd).toEqual([])
})

test('a refused statement leaves the answer of the other alone', async ({ connection }) => {
  const said = async (first: string, second: string) =>
    (await Promise.allSettled(runTogether(connection, [{ sql: first }, { sql: second }]))).map(
      ({ status }) => status,
    )

  expect(await said('set @@no_such = 1', 'select 1')).toEqual(['rejected', 'fulfilled'])
  expect(await said('select 1', 'select nothing')).toEqual(['fulfilled', 'rejected'])
  expect(await said('select nothing', 'select nothing')).toEqual(['rejected', 'rejected'])
  expect(await runOn(connection, 'select 2 as two')).toEqual([{ two: 2 }])
  expect(connection.odd).toEqual([])
})

test('behind a statement that is still answered, or on a closed connection, nothing is mixed up', async ({
  connection,
}) => {
  const busy = runOn<RowDataPacket[]>(connection, 'select sleep(0.05) as slept')
  const [, second] = runTogether(connection, [{ sql: FIRST }, { sql: SECOND, values: ['x'] }])
  expect([await busy, await second]).toEqual([[{ slept: 0 }], [{ before_: 7, text_: 'x' }]])

  connection.destroy()
  const closed = await Promise.allSettled(
    runTogether(connection, [{ sql: FIRST }, { sql: SECOND }]),
  )
  expect(closed.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})

test('a third statement gets its own answer too, also if the second is refused', async ({
  connection,
}) => {
  const [first, second, third] = await Promise.allSettled(
    runTogether(connection, [
      { sql: FIRST },
      { sql: 'select nothing' },
      { sql: SECOND, values: [LONG] },
    ]),
  )

  expect([first?.status, second?.status]).toEqual(['fulfilled', 'rejected'])
  expect(third).toMatchObject({ status: 'fulfilled', value: [{ before_: 7, text_: LONG }] })
  expect(connection.odd).toEqual([])
})
