import { link, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { newId } from '../ids.js'
import { isProcessAlive } from '../processes.js'

/** Locks that this process holds or waits for: its own pid in a file says nothing by itself. */
const ours = new Set<string>()

/**
 * Runs `work` while this process alone holds the lock file. The file holds the owner's pid, and
 * appears complete or not at all (`link` is atomic); one whose owner is dead, or that is older than
 * any `work` may take, is moved aside.
 */
export async function withFileLock<T>(
  path: string,
  maxHeldMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const token = newId()
  const draft = `${path}.${token}`
  ours.add(token)
  await writeFile(draft, `${process.pid} ${token}\n`, { mode: 0o600 })
  try {
    while (!(await tryLink(draft, path))) {
      if (await isStale(path, maxHeldMs)) await moveAside(path, maxHeldMs)
      else await sleep(50)
    }
  } finally {
    await rm(draft, { force: true })
  }
  try {
    return await work()
  } finally {
    // one that was taken for stale and replaced is somebody else's
    const held = await readFile(path, 'utf8').catch(() => '')
    if (held.includes(token)) await rm(path, { force: true })
    ours.delete(token)
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

async function isStale(path: string, maxHeldMs: number): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(path)
    if (Date.now() - mtimeMs > maxHeldMs) return true
    const [pid = '', token = ''] = (await readFile(path, 'utf8')).trim().split(' ')
    if (Number(pid) === process.pid) return !ours.has(token)
    return /^\d+$/.test(pid) && !isProcessAlive(Number(pid))
  } catch {
    return false
  }
}

/** Two may find it stale at once: the one that moved a fresh lock by mistake puts it back. */
async function moveAside(path: string, maxHeldMs: number): Promise<void> {
  const aside = `${path}.stale.${newId()}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  if (!(await isStale(aside, maxHeldMs))) await link(aside, path).catch(() => {})
  await rm(aside, { force: true })
}
