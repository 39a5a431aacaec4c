import { link, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { newId } from '../ids.js'
import { isProcessAlive } from '../processes.js'

/** Those of this process wait for each other here, so that a file with our pid is ours or left over. */
const lines = new Map<string, Promise<unknown>>()

/**
 * Runs `work` while this process alone holds the lock file, and this call alone within the process.
 * The file holds the owner's pid, and appears complete or not at all (`link` is atomic); one whose
 * owner is dead, or that is older than any `work` may take, is moved aside.
 */
export function withFileLock<T>(
  path: string,
  maxHeldMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const before = lines.get(path) ?? Promise.resolve()
  const turn = before.then(
    () => holding(path, maxHeldMs, work),
    () => holding(path, maxHeldMs, work),
  )
  lines.set(path, turn)
  return turn
}

async function holding<T>(path: string, maxHeldMs: number, work: () => Promise<T>): Promise<T> {
  const token = newId()
  const draft = `${path}.${token}`
  await writeFile(draft, `${process.pid} ${token}\n`, { mode: 0o600 })
  try {
    while (!(await tryLink(draft, path))) {
      const stale = await findStale(path, maxHeldMs)
      if (stale === undefined) await sleep(50)
      else await moveAside(path, stale)
    }
  } finally {
    await rm(draft, { force: true })
  }
  try {
    return await work()
  } finally {
    // one that was taken for stale and replaced is somebody else's
    if ((await readLock(path)).includes(token)) await rm(path, { force: true })
  }
}

async function tryLink(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

const readLock = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')

/** What a lock file says, where nobody holds it any more. */
async function findStale(path: string, maxHeldMs: number): Promise<string | undefined> {
  try {
    const said = await readFile(path, 'utf8')
    const { mtimeMs } = await stat(path)
    const pid = Number.parseInt(said, 10)
    const isLeftOver = pid === process.pid || (Number.isInteger(pid) && !isProcessAlive(pid))
    return isLeftOver || Date.now() - mtimeMs > maxHeldMs ? said : undefined
  } catch {
    return undefined
  }
}

/** Two may find it stale at once: the one that moved a fresh lock by mistake puts it back. */
async function moveAside(path: string, stale: string): Promise<void> {
  const aside = `${path}.stale.${newId()}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  if ((await readLock(aside)) !== stale) await link(aside, path).catch(() => {})
  await rm(aside, { force: true })
}
