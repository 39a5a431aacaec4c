import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { type FileHandle, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../errors.js'
import { newId } from '../ids.js'
import type { ProcessRun } from '../processes.js'
import { type DatabaseBinary, findDatabaseBinary, programEnvironment } from './database-binary.js'
import {
  assertOwnHome,
  type EmbeddedHome,
  embeddedHome,
  isEmbeddedHome,
  makeEmbeddedHome,
  socketForClient,
  socketForServer,
} from './embedded-home.js'
import {
  ask,
  askServer,
  EMBEDDED_LOGIN,
  endsWithin,
  type FoundRun,
  findServerRun,
  forgetServer,
  recordServer,
  signalRun,
} from './embedded-process.js'
import { withFileLock } from './file-lock.js'
import type { Login, ServerAddress } from './server-address.js'

/**
 * A private MariaDB or MySQL for demos, tests and single machines. It listens on a unix socket in a
 * folder that only its owner may enter, never on the network, and runs as the current user. It
 * outlives the command that started it, and the next command finds it.
 */
export type EmbeddedServer = {
  readonly home: string
  readonly address: ServerAddress
  readonly login: Login
  /** Whether this call started it, rather than found it. */
  readonly started: boolean
}

export type EmbeddedOptions = {
  /** False gives up durability for speed: for throw-away data only. */
  readonly durable?: boolean
  /** Further server options, such as `--max-connections=500`. */
  readonly serverOptions?: readonly string[]
  /** How long a server that is alive, but not ours to end, may take to answer. */
  readonly patienceMs?: number
}

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 40_000
const PATIENCE_MS = 15_000
/** What both servers write to their log when another process has their data open. */
const DATA_IN_USE = /Unable to lock \S*ibdata1|Could not get an exclusive lock/

/**
 * Starts the server of a home, or finds it running. Two callers at once share one. A server that is alive is never
 * ended by this, also if it doesn't answer.
 *
 * @throws DATABASE.BINARY_MISSING, DATABASE.EMBEDDED_…, DATABASE.FULL, CONFIG.HOME_…
 */
export async function startEmbeddedServer(
  folder: string,
  options: EmbeddedOptions = {},
): Promise<EmbeddedServer> {
  const places = await makeEmbeddedHome(folder)
  if ((await askServer(places)).speaks) return found(places, false)
  return withFileLock(places.lock, async () => {
    if ((await askServer(places)).speaks) return found(places, false)
    const run = await findServerRun(places)
    if (run && (await speaksAfterAll(places, run, options))) return found(places, false)
    const binary = await findDatabaseBinary()
    if (!binary) throw new AppError('DATABASE.BINARY_MISSING')
    if (!existsSync(places.data)) await createData(binary, places)
    return found(places, await launch(binary, places, options))
  })
}

export type EmbeddedStatus = {
  /** Whether its process lives. */
  readonly running: boolean
  /** Whether it also speaks at its socket. */
  readonly answering: boolean
  readonly pid: number | undefined
  readonly version: string | undefined
  readonly socket: string
  readonly data: string
}

export async function embeddedStatus(folder: string): Promise<EmbeddedStatus> {
  await assertOwnHome(folder)
  const places = await embeddedHome(folder)
  const { speaks, version } = await askServer(places)
  const run = await findServerRun(places)
  return {
    running: speaks || run !== undefined,
    answering: speaks,
    pid: run?.pid,
    version,
    socket: places.socket,
    data: places.data,
  }
}

/**
 * Stops the server and waits until its process has ended. Returns false if none was running.
 *
 * @throws DATABASE.EMBEDDED_ELSEWHERE if it runs in another container and doesn't stop
 */
export async function stopEmbeddedServer(
  folder: string,
  { patienceMs = STOP_TIMEOUT_MS } = {},
): Promise<boolean> {
  await assertOwnHome(folder)
  const places = await embeddedHome(folder)
  if (!isEmbeddedHome(places.home)) return false
  return withFileLock(places.lock, async () => {
    const { speaks } = await askServer(places)
    const run = await findServerRun(places)
    if (!speaks && !run) return false
    const obeys = await ask(places, 'shutdown').then(
      () => true,
      () => false,
    )
    if (run) await endRun(run, obeys)
    else await fallsSilent(places, patienceMs)
    await forgetServer(places)
    return true
  })
}

/** Waits for a server in another container, which shows only by its socket. */
async function fallsSilent(places: EmbeddedHome, patienceMs: number): Promise<void> {
  for (const end = performance.now() + patienceMs; (await askServer(places)).speaks; ) {
    if (performance.now() > end) throw new AppError('DATABASE.EMBEDDED_ELSEWHERE', places.home)
    await sleep(50)
  }
}

/** Tries SIGTERM before SIGKILL. Committed data is safe either way. */
async function endRun(run: ProcessRun, obeys: boolean): Promise<void> {
  if (obeys && (await endsWithin(run, 10_000))) return
  signalRun(run, 'SIGTERM')
  if (await endsWithin(run, 20_000)) return
  signalRun(run, 'SIGKILL')
  await endsWithin(run, 10_000)
}

const found = (places: EmbeddedHome, started: boolean): EmbeddedServer => ({
  home: places.home,
  address: { host: 'localhost', port: 3306, socketPath: socketForClient(places) },
  login: EMBEDDED_LOGIN,
  started,
})

/**
 * It may still be starting, or be held up: its current clients must not lose it because another command is impatient.
 * Returns false if it ends instead.
 *
 * @throws DATABASE.EMBEDDED_SILENT, DATABASE.EMBEDDED_CUT_OFF
 */
async function speaksAfterAll(
  places: EmbeddedHome,
  run: FoundRun,
  { patienceMs = PATIENCE_MS }: EmbeddedOptions,
): Promise<boolean> {
  const patience = run.wasReady ? patienceMs : START_TIMEOUT_MS
  for (const end = performance.now() + patience; performance.now() < end; ) {
    if (run.wasReady && !existsSync(places.socket))
      throw new AppError('DATABASE.EMBEDDED_CUT_OFF', places.home, run.pid, places.socket)
    if ((await askServer(places)).speaks) return true
    if (await endsWithin(run, 100)) return false
  }
  throw new AppError('DATABASE.EMBEDDED_SILENT', places.home, run.pid, places.log)
}

/**
 * Made beside its place and renamed into it, so that a creation cut short is never taken for data.
 * Each has a name of its own: the program that makes it outlives a killed parent, and writes on.
 */
async function createData(binary: DatabaseBinary, places: EmbeddedHome): Promise<void> {
  const { home, data } = places
  for (const name of await readdir(home)) {
    if (name.startsWith('data.new'))
      await rm(join(home, name), { recursive: true, force: true }).catch(() => {})
  }
  const draft = `data.new.${newId()}`
  const log = await openLog(places)
  try {
    // from within the home: the server's own scripts trip over a path with blanks or quotes
    const code = await runToEnd(binary.createCommand(`./${draft}`), places, log.file)
    if (code !== 0) throw await failedStart(places, log.from)
    await rename(join(home, draft), data)
    await writeFile(join(home, '.gitignore'), '*\n')
  } catch (error) {
    await rm(join(home, draft), { recursive: true, force: true }).catch(() => {})
    throw error
  } finally {
    await log.file.close()
  }
}

/** Returns false if a server that an earlier command had begun to start came up instead. */
async function launch(
  binary: DatabaseBinary,
  places: EmbeddedHome,
  options: EmbeddedOptions,
): Promise<boolean> {
  // MySQL takes the pid in it for a living owner of the socket, whatever has that pid now
  await rm(`${places.socket}.lock`, { force: true })
  const log = await openLog(places)
  const server = spawn(binary.server, await serverArguments(binary, places, options), {
    detached: true,
    stdio: ['ignore', log.file.fd, log.file.fd],
    cwd: places.home,
    env: programEnvironment(places.temporary),
  })
  let exited = false
  server.once('exit', () => {
    exited = true
  })
  server.once('error', () => {
    exited = true
  })
  if (server.pid !== undefined) recordServer(places, server.pid, false)
  try {
    const end = performance.now() + START_TIMEOUT_MS
    while (performance.now() < end) {
      const hasExited = exited
      if (DATA_IN_USE.test(await readFrom(places, log.from))) {
        // it has opened nothing yet, and would only wait for the data
        server.kill('SIGKILL')
        return await otherServer(places, options)
      }
      if (hasExited) throw await failedStart(places, log.from)
      if ((await askServer(places)).speaks) {
        if (server.pid !== undefined) recordServer(places, server.pid, true)
        return true
      }
      await sleep(25)
    }
    throw new AppError('DATABASE.EMBEDDED_SILENT', places.home, server.pid ?? 0, places.log)
  } finally {
    server.unref()
    await log.file.close()
  }
}

/**
 * What a start that was cut off has left may still come up.
 *
 * @throws DATABASE.EMBEDDED_ELSEWHERE if the process that has the data open doesn't come up here
 */
async function otherServer(
  places: EmbeddedHome,
  { patienceMs = PATIENCE_MS }: EmbeddedOptions,
): Promise<false> {
  await forgetServer(places)
  for (const end = performance.now() + patienceMs; performance.now() < end; await sleep(100)) {
    if ((await askServer(places)).speaks) return false
  }
  throw new AppError('DATABASE.EMBEDDED_ELSEWHERE', places.home)
}

/** The log's first complaint says why: a folder that can't be written, a full disk, data of a newer version. */
async function failedStart(places: EmbeddedHome, from: number): Promise<AppError> {
  const lines = (await readFrom(places, from)).split('\n').map((line) => line.trim())
  const reason =
    lines.find((line) => /\[ERROR\]|^ERROR\b|^FATAL\b/.test(line)) ??
    lines.find((line) => line !== '' && !line.startsWith('Installing'))
  const isFull = lines.some((line) => /No space left|out of disk space|error:? 28\b/i.test(line))
  const error = isFull
    ? new AppError('DATABASE.FULL')
    : new AppError('DATABASE.EMBEDDED_FAILED', places.log)
  return reason === undefined ? error : error.because(new Error(reason))
}

async function openLog(places: EmbeddedHome): Promise<{ file: FileHandle; from: number }> {
  try {
    const file = await open(places.log, 'a', 0o600)
    return { file, from: (await file.stat()).size }
  } catch (error) {
    throw new AppError('CONFIG.HOME_NOT_WRITABLE', places.log).because(error)
  }
}

/** The end of the log, from that byte on. */
async function readFrom({ log }: EmbeddedHome, from: number): Promise<string> {
  const file = await open(log, 'r')
  try {
    const { size } = await file.stat()
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(Math.min(Math.max(size - from, 0), 65_536)),
      { position: from },
    )
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

async function serverArguments(
  binary: DatabaseBinary,
  places: EmbeddedHome,
  { durable = true, serverOptions = [] }: EmbeddedOptions,
): Promise<string[]> {
  return [
    '--no-defaults',
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
    `--datadir=${places.data}`,
    `--socket=${await socketForServer(places)}`,
    `--pid-file=${places.pidFile}`,
    '--skip-networking',
    '--character-set-server=utf8mb4',
    '--collation-server=utf8mb4_unicode_ci',
    '--default-time-zone=+00:00',
    '--max-connections=500',
    // thousands of schemas need room for their definitions
    '--table-definition-cache=8000',
    '--table-open-cache=4000',
    '--performance-schema=OFF',
    ...(durable ? [] : ['--innodb-flush-log-at-trx-commit=0', '--innodb-doublewrite=0']),
    ...binary.serverOptions({ durable }),
    ...serverOptions,
  ]
}

async function runToEnd(
  [command, ...args]: readonly string[],
  places: EmbeddedHome,
  log: FileHandle,
): Promise<number | null> {
  return new Promise((done) => {
    const child = spawn(command as string, args, {
      stdio: ['ignore', log.fd, log.fd],
      cwd: places.home,
      env: programEnvironment(places.temporary),
    })
    child.once('error', () => done(null))
    child.once('exit', done)
  })
}
