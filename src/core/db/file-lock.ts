import { link, readFile, realpath, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { newId } from '../ids.js'
import { isProcessAlive, type ProcessRun, runOf, stateOf } from '../processes.js'

/** How often a holder shows that it is still there. */
const BEAT_MS = 2_000
/** A lock that hasn't been refreshed for this long counts as free. */
const SILENT_MS = 20_000

/** Calls of this process wait for each other here, so that the file only decides between processes. */
const lines = new Map<string, Promise<unknown>>()

/**
 * Runs `work` while this process alone holds the lock file, and this call alone within the process. The file
 * names one run of a process, appears whole or not at all (`link` is atomic), and is refreshed while it is held.
 * A lock whose process has ended is moved aside, as is one that is no longer refreshed, for example from a
 * removed container or from before a reboot.
 */
export async function withFileLock<T>(
  given: string,
  work: () => Promise<T>,
  { beatMs = BEAT_MS } = {},
): Promise<T> {
  const path = join(await realpath(dirname(given)), basename(given))
  const before = lines.get(path) ?? Promise.resolve()
  const turn = before.then(
    () => holding(path, work, beatMs),
    () => holding(path, work, beatMs),
  )
  lines.set(path, turn)
  return turn
}

async function holding<T>(path: string, work: () => Promise<T>, beatMs: number): Promise<T> {
  const token = newId()
  const draft = `${path}.${token}`
  await writeFile(draft, JSON.stringify({ ...runOf(process.pid), token }), { mode: 0o600 })
  try {
    while (!(await tryLink(draft, path))) {
      const stale = await findStale(path)
      if (stale === undefined) await sleep(50)
      else await moveAside(path, stale)
    }
  } finally {
    await rm(draft, { force: true })
  }
  const beat = setInterval(() => void refreshOwn(path, token), beatMs)
  try {
    return await work()
  } finally {
    clearInterval(beat)
    // one that was taken for stale and replaced is somebody else's
    if ((await readLock(path)).includes(token)) await rm(path, { force: true })
  }
}

async function tryLink(draft: string, path: string): Promise<boolean> {
  // it may have waited for long: the lock must not look silent when it appears
  await refresh(draft)
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

const refresh = (path: string): Promise<void> =>
  utimes(path, new Date(), new Date()).catch(() => {})

/** A lock that was taken for stale and replaced belongs to its new holder. */
async function refreshOwn(path: string, token: string): Promise<void> {
  if ((await readLock(path)).includes(token)) await refresh(path)
}

const readLock = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')

/** The text of a lock file that nobody holds any more. */
async function findStale(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    const { mtimeMs } = await stat(path)
    return hasEnded(text) || Date.now() - mtimeMs > SILENT_MS ? text : undefined
  } catch {
    return undefined
  }
}

function hasEnded(text: string): boolean {
  // versions before this one wrote the pid first
  if (/^\d/.test(text)) return !isProcessAlive(Number.parseInt(text, 10))
  try {
    return stateOf(JSON.parse(text) as ProcessRun) === 'ended'
  } catch {
    return false
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
