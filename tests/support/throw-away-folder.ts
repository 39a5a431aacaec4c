import { mkdtemp, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MEMORY = '/dev/shm'
/** A run of the whole suite writes about 2 GB. */
const ROOM_BYTES = 4 * 1024 ** 3

/**
 * Makes an empty folder for a test server's data: in memory if there is room, because creating
 * thousands of tables waits for the disk otherwise. The caller removes it.
 */
export async function makeThrowAwayFolder(name: string): Promise<string> {
  const space = await statfs(MEMORY).catch(() => undefined)
  const hasRoom = space !== undefined && space.bavail * space.bsize > ROOM_BYTES
  return mkdtemp(join(hasRoom ? MEMORY : tmpdir(), `validonx-${name}-`))
}
