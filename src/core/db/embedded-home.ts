import { createHash } from 'node:crypto'
import { constants, existsSync, mkdirSync, openSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { lstat, mkdir, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { AppError } from '../errors.js'
import { newId } from '../ids.js'

/** Paths of one embedded server, derived from its folder alone. */
export type EmbeddedHome = {
  readonly home: string
  readonly data: string
  readonly temporary: string
  readonly socketFolder: string
  readonly socket: string
  /** Identifies the server process. Written by the process that starts it. */
  readonly record: string
  readonly pidFile: string
  readonly lock: string
  readonly log: string
}

/** The longest path of a unix socket that every system takes, in bytes. */
const LONGEST_SOCKET = 100
const FOLDER = '.validonx'

/** A link or a bind mount leads to the same home as the path itself. */
export async function embeddedHome(folder: string): Promise<EmbeddedHome> {
  const home = await realpath(resolve(folder)).catch(() => resolve(folder))
  return {
    home,
    data: join(home, 'data'),
    temporary: join(home, 'tmp'),
    socketFolder: join(home, 'run'),
    socket: join(home, 'run/mysqld.sock'),
    record: join(home, 'server.json'),
    pidFile: join(home, 'mysqld.pid'),
    lock: join(home, 'start.lock'),
    log: join(home, 'mysqld.log'),
  }
}

/** Whether a folder holds an embedded platform, or what a first command has made of one. */
export const isEmbeddedHome = (home: string): boolean => existsSync(join(home, 'data'))

/**
 * The nearest `.validonx` in `folder` or above it, of this user, as Git looks for its repository. The search ends
 * at a folder with a `.env`, whose settings a command below doesn't read, and never takes one in the root folder
 * for that of everything below.
 */
export function nearestHome(folder: string): string | undefined {
  for (let here = resolve(folder), first = true; ; here = dirname(here), first = false) {
    if (!first && here === dirname(here)) return undefined
    const home = join(here, FOLDER)
    // another user's home is refused in this folder, ignored in a parent
    if (existsSync(home) && !isOurs(home)) return first ? home : undefined
    if (isEmbeddedHome(home)) return home
    if (existsSync(join(here, '.env')) || here === dirname(here)) return undefined
  }
}

const isOurs = (path: string): boolean =>
  process.getuid === undefined || statSync(path).uid === process.getuid()

/**
 * Makes the folders of a home.
 *
 * @throws CONFIG.HOME_NOT_WRITABLE, CONFIG.HOME_NOT_PRIVATE, CONFIG.HOME_OF_ANOTHER
 */
export async function makeEmbeddedHome(folder: string): Promise<EmbeddedHome> {
  const wanted = resolve(folder)
  await assertOwnHome(wanted)
  await makePrivateFolder(wanted)
  const places = await embeddedHome(wanted)
  await makePrivateFolder(places.socketFolder)
  await makePrivateFolder(places.temporary)
  await assertPrivate(places.socketFolder)
  return places
}

/**
 * A server that another user starts on these files makes some that their owner can't read, root's too.
 *
 * @throws CONFIG.HOME_OF_ANOTHER
 */
export async function assertOwnHome(folder: string): Promise<void> {
  const { home, data } = await embeddedHome(folder)
  const owner = await stat(data).then(
    ({ uid }) => uid,
    // a private folder hides even whether there is data in it
    (error) => (error.code === 'EACCES' ? statSync(home).uid : undefined),
  )
  if (owner !== undefined && process.getuid !== undefined && owner !== process.getuid())
    throw new AppError('CONFIG.HOME_OF_ANOTHER', home, owner, process.getuid())
}

/** In a folder that others may enter, another user could pose as the database. */
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

/** The socket as the server binds it: from its working folder, the data, if the whole path is too long. */
export async function socketForServer({
  data,
  socket,
  socketFolder,
}: EmbeddedHome): Promise<string> {
  if (Buffer.byteLength(socket) <= LONGEST_SOCKET) return socket
  // the data may be a link to another disk
  return join(relative(await realpath(data), await realpath(socketFolder)), 'mysqld.sock')
}

/** By folder: an open handle to it, or the link that leads to it. */
const reached = new Map<string, string>()

/**
 * The socket as this process reaches it. A path that is too long is entered by an open handle of its folder, so
 * nothing of it lies in a temporary folder that another caller names differently, or that a cleaner empties.
 */
export function socketForClient({ socket, socketFolder }: EmbeddedHome): string {
  if (Buffer.byteLength(socket) <= LONGEST_SOCKET || !existsSync(socketFolder)) return socket
  // the folder may have been made again meanwhile
  const key = `${statSync(socketFolder).ino} ${socketFolder}`
  const folder = reached.get(key) ?? shortPathTo(socketFolder)
  reached.set(key, folder)
  return join(folder, 'mysqld.sock')
}

function shortPathTo(folder: string): string {
  if (existsSync('/proc/self/fd'))
    return `/proc/self/fd/${openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)}`
  const name = createHash('sha256').update(folder).digest('hex').slice(0, 12)
  const near = join(tmpdir(), `validonx-${process.getuid?.() ?? 0}-${name}`)
  mkdirSync(near, { recursive: true, mode: 0o700 })
  if (!isOurs(near) || (statSync(near).mode & 0o077) !== 0)
    throw new AppError('CONFIG.HOME_NOT_PRIVATE', near)
  rmSync(join(near, 'run'), { force: true })
  symlinkSync(folder, join(near, 'run'))
  return join(near, 'run')
}
