import { execFile } from 'node:child_process'
import { existsSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ProcessRun, runOf, stateOf } from '../processes.js'
import { cutConnection } from './connect.js'
import { loadMysql } from './drivers.js'
import { type EmbeddedHome, socketForClient } from './embedded-home.js'
import type { Login } from './server-address.js'

/** The only login of a private server; the folder's mode is its lock. */
export const EMBEDDED_LOGIN: Login = { user: 'root', password: '' }

export type FoundRun = ProcessRun & {
  /** Whether it has answered before, so that it isn't starting. */
  readonly wasReady: boolean
}

/** `data` is the inode of the data, so a copy of the home isn't taken for the home that it was copied from. */
type ServerRecord = FoundRun & { readonly data: number }

/** Must follow the start at once: a record that is missing costs a look at the pid file. */
export function recordServer(places: EmbeddedHome, pid: number, wasReady: boolean): void {
  const run = runOf(pid)
  if (!run) return
  const record: ServerRecord = { ...run, wasReady, data: statSync(places.data).ino }
  const draft = `${places.record}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(record)}\n`, { mode: 0o600 })
  renameSync(draft, places.record)
}

export const forgetServer = ({ record }: EmbeddedHome): Promise<void> => rm(record, { force: true })

/**
 * The process that runs on this home's data. Judged by the run of the process alone: one that doesn't answer may be
 * starting, busy or stopped, and is alive. Undefined also if it runs in another container or on another machine:
 * then only the lock on its data shows it.
 */
export async function findServerRun(places: EmbeddedHome): Promise<FoundRun | undefined> {
  const record = await readRecord(places)
  if (record && isOfThisData(record, places) && stateOf(record) === 'alive') return record
  const pid = Number.parseInt(await readFile(places.pidFile, 'utf8').catch(() => ''), 10)
  const run = Number.isInteger(pid) && pid > 0 ? runOf(pid) : undefined
  return run && (await worksIn(run.pid, places.data)) ? { ...run, wasReady: false } : undefined
}

async function readRecord({ record }: EmbeddedHome): Promise<ServerRecord | undefined> {
  try {
    return JSON.parse(await readFile(record, 'utf8')) as ServerRecord
  } catch {
    return undefined
  }
}

const isOfThisData = (record: ServerRecord, { data }: EmbeddedHome): boolean =>
  existsSync(data) && statSync(data).ino === record.data

/** The pid may belong to another process by now: ours has its data as its working folder. */
async function worksIn(pid: number, data: string): Promise<boolean> {
  if (!existsSync('/proc/self/cwd')) return (await commandLineOf(pid)).includes(`--datadir=${data}`)
  try {
    const [cwd, own] = [statSync(`/proc/${pid}/cwd`), statSync(data)]
    return cwd.ino === own.ino && cwd.dev === own.dev
  } catch {
    return false
  }
}

const commandLineOf = (pid: number): Promise<string> =>
  new Promise((done) =>
    execFile('ps', ['-o', 'command=', '-p', String(pid)], (_, out) => done(out)),
  )

/** Whether it ended within that time. */
export async function endsWithin(run: ProcessRun, milliseconds: number): Promise<boolean> {
  for (const end = performance.now() + milliseconds; performance.now() < end; await sleep(25)) {
    if (stateOf(run) !== 'alive') return true
  }
  return stateOf(run) !== 'alive'
}

export function signalRun(run: ProcessRun, name: NodeJS.Signals): void {
  try {
    if (stateOf(run) === 'alive') process.kill(run.pid, name)
  } catch {
    // it has ended meanwhile
  }
}

export type Answer = {
  /** Whether a server responds at the socket. A refusal ("too many connections") counts. */
  readonly speaks: boolean
  readonly version: string | undefined
}

export async function askServer(places: EmbeddedHome): Promise<Answer> {
  if (!existsSync(places.socket)) return { speaks: false, version: undefined }
  try {
    const [row] = (await ask(places, 'select version() as version')) as { version: string }[]
    return { speaks: true, version: row?.version }
  } catch (error) {
    return {
      speaks: (error as { sqlState?: unknown }).sqlState !== undefined,
      version: undefined,
    }
  }
}

export function ask(places: EmbeddedHome, sql: string): Promise<unknown> {
  return new Promise((done, fail) => {
    const connection = loadMysql().createConnection({
      socketPath: socketForClient(places),
      ...EMBEDDED_LOGIN,
      connectTimeout: 1_500,
    })
    connection.on('error', fail)
    connection.query({ sql, timeout: 3_000 }, (error, rows) => {
      cutConnection(connection)
      if (error) fail(error)
      else done(rows)
    })
  })
}
