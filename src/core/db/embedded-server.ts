import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { lstat, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../errors.js'
import { newId } from '../ids.js'
import { isProcessAlive } from '../processes.js'
import { cutConnection } from './connect.js'
import { type DatabaseBinary, findDatabaseBinary, programEnvironment } from './database-binary.js'
import { loadMysql } from './drivers.js'
import { withFileLock } from './file-lock.js'
import type { Login, ServerAddress } from './server-address.js'

/**
 * A private MariaDB or MySQL for demos, tests and single machines. It listens on a unix socket in a
 * folder that only its owner may enter, never on the network, and runs as the current user. It
 * outlives the command that started it, and the next command finds it.
 */
export type EmbeddedServer = {
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
}

/** The only login of a private server; the folder's mode is its lock. */
const LOGIN: Login = { user: 'root', password: '' }
const START_TIMEOUT_MS = 60_000

/**
 * Starts the server whose data lies under `home`, or finds it running. Two callers at once share one.
 *
 * @throws DATABASE.BINARY_MISSING, CONFIG.HOME_NOT_WRITABLE, DATABASE.EMBEDDED_FAILED
 */
export async function startEmbeddedServer(
  home: string,
  options: EmbeddedOptions = {},
): Promise<EmbeddedServer> {
  const places = placesUnder(home)
  await makePrivateFolder(places.home)
  await makePrivateFolder(places.socketFolder)
  await makePrivateFolder(places.temporary)
  await assertPrivate(places.socketFolder)
  if (await answers(places.socket)) return found(places, false)
  return withFileLock(lockOf(places), START_TIMEOUT_MS + 30_000, async () => {
    if (await answers(places.socket)) return found(places, false)
    const binary = await findDatabaseBinary()
    if (!binary) throw new AppError('DATABASE.BINARY_MISSING')
    await endDeadServer(places)
    if (!existsSync(places.data)) await createData(binary, places)
    await launch(binary, places, options)
    return found(places, true)
  })
}

const lockOf = ({ home }: Places): string => join(home, 'start.lock')

export type EmbeddedStatus = {
  readonly running: boolean
  readonly pid: number | undefined
  readonly version: string | undefined
  readonly socket: string
  readonly data: string
}

export async function embeddedStatus(home: string): Promise<EmbeddedStatus> {
  const places = placesUnder(home)
  const version = await versionAt(places.socket)
  return {
    running: version !== undefined,
    pid: version === undefined ? undefined : await readPid(places),
    version,
    socket: places.socket,
    data: places.data,
  }
}

/** Stops the server and waits until its process is gone. Answers false where none was running. */
export async function stopEmbeddedServer(home: string): Promise<boolean> {
  const places = placesUnder(home)
  if (!existsSync(places.home)) return false
  return withFileLock(lockOf(places), START_TIMEOUT_MS + 30_000, async () => {
    const pid = await readPid(places)
    const isRunning = pid !== undefined && (await isOurServer(pid, places))
    if (!isRunning && !(await answers(places.socket))) return false
    await ask(places.socket, 'shutdown').catch(() => undefined)
    await endDeadServer(places)
    await rm(places.socketFolder, { recursive: true, force: true })
    return true
  })
}

type Places = {
  readonly home: string
  readonly data: string
  readonly temporary: string
  readonly socketFolder: string
  readonly socket: string
  readonly pidFile: string
  readonly log: string
}

/** A socket's path ends at 107 bytes, so a deep home gets its socket in the system's temporary folder. */
function placesUnder(folder: string): Places {
  const home = resolve(folder)
  const near = join(home, 'run')
  const far = join(
    tmpdir(),
    `validonx-${createHash('sha256').update(home).digest('hex').slice(0, 12)}`,
  )
  const socketFolder = Buffer.byteLength(join(near, 'mysqld.sock')) <= 100 ? near : far
  return {
    home,
    data: join(home, 'data'),
    temporary: join(home, 'tmp'),
    socketFolder,
    socket: join(socketFolder, 'mysqld.sock'),
    pidFile: join(home, 'mysqld.pid'),
    log: join(home, 'mysqld.log'),
  }
}

const found = ({ socket }: Places, started: boolean): EmbeddedServer => ({
  address: { host: 'localhost', port: 3306, socketPath: socket },
  login: LOGIN,
  started,
})

/** In a folder that others may enter, anybody could be the database. */
async function assertPrivate(path: string): Promise<void> {
  const { uid, mode } = await lstat(path).then(
    (found) => (found.isDirectory() ? found : { uid: -1, mode: 0 }),
    () => ({ uid: -1, mode: 0 }),
  )
  const isOurs = process.getuid === undefined || uid === process.getuid()
  if (!isOurs || (mode & 0o077) !== 0) throw new AppError('CONFIG.HOME_NOT_PRIVATE', path)
}

async function makePrivateFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    const probe = join(path, `.probe-${newId()}`)
    await writeFile(probe, '', { mode: 0o600 })
    await rm(probe)
  } catch (error) {
    throw new AppError('CONFIG.HOME_NOT_WRITABLE', path).because(error)
  }
}

/**
 * Made beside its place and renamed into it, so that a creation cut short is never taken for data.
 * Each has a name of its own: the program that makes it outlives a killed parent, and writes on.
 */
async function createData(binary: DatabaseBinary, places: Places): Promise<void> {
  const { home, data } = places
  const draft = `${data}.new.${newId()}`
  for (const name of await readdir(home)) {
    if (name.startsWith('data.new'))
      await rm(join(home, name), { recursive: true, force: true }).catch(() => {})
  }
  const code = await runToEnd(binary.createCommand(draft), places)
  if (code !== 0) throw new AppError('DATABASE.EMBEDDED_FAILED', places.log)
  await rename(draft, data)
  await writeFile(join(home, '.gitignore'), '*\n')
}

async function launch(
  binary: DatabaseBinary,
  places: Places,
  options: EmbeddedOptions,
): Promise<void> {
  const log = await open(places.log, 'a', 0o600)
  const server = spawn(binary.server, serverArguments(binary, places, options), {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
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
  try {
    for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end && !exited; await sleep(25)) {
      if (await answers(places.socket)) return
    }
  } finally {
    server.unref()
    await log.close()
  }
  if (!exited) server.kill('SIGKILL')
  throw new AppError('DATABASE.EMBEDDED_FAILED', places.log)
}

function serverArguments(
  binary: DatabaseBinary,
  places: Places,
  { durable = true, serverOptions = [] }: EmbeddedOptions,
): string[] {
  return [
    '--no-defaults',
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
    `--datadir=${places.data}`,
    `--socket=${places.socket}`,
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

/** A server of ours that was told to stop, or no longer answers, is brought to an end: gently, then not. */
async function endDeadServer(places: Places): Promise<void> {
  const pid = await readPid(places)
  if (pid !== undefined && (await isOurServer(pid, places))) {
    const ended =
      (await endsWithin(pid, 10_000)) ||
      ((await signal(pid, 'SIGTERM')) && (await endsWithin(pid, 10_000)))
    if (!ended) {
      await signal(pid, 'SIGKILL')
      await endsWithin(pid, 10_000)
    }
  }
  await rm(places.pidFile, { force: true })
  await rm(places.socket, { force: true })
}

async function endsWithin(pid: number, milliseconds: number): Promise<boolean> {
  for (const end = performance.now() + milliseconds; performance.now() < end; await sleep(25)) {
    if (!isProcessAlive(pid)) return true
  }
  return !isProcessAlive(pid)
}

async function signal(pid: number, name: NodeJS.Signals): Promise<boolean> {
  try {
    return process.kill(pid, name)
  } catch {
    // it has ended by itself
    return true
  }
}

/** The pid may belong to somebody else by now: only a command line with our data folder is ours. */
async function isOurServer(pid: number, { data }: Places): Promise<boolean> {
  if (!isProcessAlive(pid)) return false
  const command = existsSync('/proc/self/cmdline')
    ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    : await commandLineOf(pid)
  return command.includes(`--datadir=${data}`)
}

const commandLineOf = (pid: number): Promise<string> =>
  new Promise((done) =>
    execFile('ps', ['-o', 'command=', '-p', String(pid)], (_, out) => done(out)),
  )

async function readPid({ pidFile }: Places): Promise<number | undefined> {
  const pid = Number.parseInt(await readFile(pidFile, 'utf8').catch(() => ''), 10)
  return Number.isInteger(pid) && pid > 0 ? pid : undefined
}

async function runToEnd(
  [command, ...args]: readonly string[],
  places: Places,
): Promise<number | null> {
  const log = await open(places.log, 'a', 0o600)
  try {
    return await new Promise((done) => {
      const child = spawn(command as string, args, {
        stdio: ['ignore', log.fd, log.fd],
        env: programEnvironment(places.temporary),
      })
      child.once('error', () => done(null))
      child.once('exit', done)
    })
  } finally {
    await log.close()
  }
}

const answers = async (socket: string): Promise<boolean> => (await versionAt(socket)) !== undefined

async function versionAt(socket: string): Promise<string | undefined> {
  if (!existsSync(socket)) return undefined
  const rows = await ask(socket, 'select version() as version').catch(() => undefined)
  const [row] = Array.isArray(rows) ? (rows as { version?: string }[]) : []
  return row?.version
}

function ask(socket: string, sql: string): Promise<unknown> {
  return new Promise((done, fail) => {
    const connection = loadMysql().createConnection({
      socketPath: socket,
      ...LOGIN,
      connectTimeout: 3_000,
    })
    connection.on('error', fail)
    connection.query({ sql, timeout: 5_000 }, (error, rows) => {
      cutConnection(connection)
      if (error) fail(error)
      else done(rows)
    })
  })
}
