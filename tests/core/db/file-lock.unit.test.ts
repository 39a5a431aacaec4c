import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { withFileLock } from '../../../src/core/db/file-lock.js'

const LONG_AGO = new Date('2020-01-01')

test('a holder refreshes its own lock, but neither refreshes nor removes the lock of a successor', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'validonx-lock-'))
  const path = join(folder, 'lock')
  const age = () => utimes(path, LONG_AGO, LONG_AGO)
  const isOld = async () => (await stat(path)).mtime.getTime() === LONG_AGO.getTime()
  await withFileLock(
    path,
    async () => {
      await age()
      await expect.poll(isOld).toBe(false)
      await writeFile(path, JSON.stringify({ pid: process.pid, token: 'of a successor' }))
      // a refresh of the holder's own lock may be under way
      await sleep(20)
      await age()
      await sleep(50)

      expect(await isOld()).toBe(true)
    },
    { beatMs: 5 },
  )

  expect(await readFile(path, 'utf8')).toContain('of a successor')
  await rm(folder, { recursive: true })
})
