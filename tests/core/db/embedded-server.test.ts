import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import {
  cp,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from 'mysql2'
import { test as base, describe, expect } from 'vitest'
import { openConnection } from '../../../src/core/db/connect.js'
import {
  type EmbeddedServer,
  embeddedStatus,
  startEmbeddedServer,
  stopEmbeddedServer,
} from '../../../src/core/db/embedded-server.js'
import { isProcessAlive, runOf } from '../../../src/core/processes.js'
import { isCampaign } from '../../support/campaign.js'
import { codeOf } from '../../support/code-of.js'
import { startBin } from '../../support/process.js'
import { runCli } from '../../support/run-cli.js'
import { ROOT } from '../../support/source-files.js'
import { makeThrowAwayFolder } from '../../support/throw-away-folder.js'

const fast = { durable: false, patienceMs: 300 } as const

/** `home` is an empty folder; `ready` has data, made once for the file, and no server has run on it. */
const test = base
  .extend('run', { scope: 'file' }, 'one data folder for the file')
  .extend('home', async ({ task: _ }, { onCleanup }) => {
    const home = await makeThrowAwayFolder('embedded')
    onCleanup(async () => {
      await stopEmbeddedServer(home)
      await rm(home, { recursive: true, force: true })
    })
    return home
  })
  .extend('data', { scope: 'file' }, async ({ run: _ }, { onCleanup }) => {
    const home = await makeThrowAwayFolder('embedded')
    onCleanup(() => rm(home, { recursive: true, force: true }))
    await startEmbeddedServer(home, fast)
    await stopEmbeddedServer(home)
    return join(home, 'data')
  })
  .extend('ready', async ({ home, data }) => {
    await cp(data, join(home, 'data'), { recursive: true })
    return home
  })

async function ask<Row>(server: EmbeddedServer, sql: string): Promise<Row[]> {
  const connection = await openConnection({ ...server, connectTimeoutMs: 5000 })
  const rows = await askOn<Row>(connection, sql)
  connection.destroy()
  return rows
}

const askOn = async <Row>(connection: Connection, sql: string): Promise<Row[]> =>
  (await new Promise<unknown>((done, fail) =>
    connection.query(sql, (error, result) => (error ? fail(error) : done(result))),
  )) as Row[]

async function pidOf(home: string): Promise<number> {
  const { pid } = await embeddedStatus(home)
  if (pid === undefined) throw new Error(`no server runs in ${home}`)
  return pid
}

const refusalOf = (home: string): Promise<string> =>
  startEmbeddedServer(home, fast).then(() => 'no refusal', codeOf)

describe('the embedded server', () => {
  test('is private: a socket that only its owner reaches, no network, nobody else let in', async ({
    ready,
  }) => {
    const server = await startEmbeddedServer(ready, fast)

    const [row] = await ask<{ networking: number; folder: string }>(
      server,
      'select @@skip_networking as networking, @@tmpdir as folder',
    )
    const others = await ask(
      server,
      "select user, host from mysql.user where user = '' or (user = 'root' and host = '%')",
    )
    const open = await ask(server, "select db from mysql.db where db like 'test%'")
    expect([row?.networking, others, open]).toEqual([1, [], []])
    // no other server clears its temporary tables away
    expect(row?.folder).toBe(join(ready, 'tmp'))
    for (const folder of ['run', 'tmp'])
      expect((await stat(join(ready, folder))).mode & 0o077).toBe(0)
  })

  test('is shared by all who start it at once', async ({ home }) => {
    const servers = await Promise.all(
      Array.from({ length: 8 }, () => startEmbeddedServer(home, fast)),
    )

    expect(servers.filter(({ started }) => started)).toHaveLength(1)
    expect(new Set(servers.map(({ address }) => address.socketPath)).size).toBe(1)
  })

  test('comes back with its data after it was killed', async ({ ready }) => {
    const first = await startEmbeddedServer(ready)
    await ask(first, 'create database kept')
    process.kill(await pidOf(ready), 'SIGKILL')

    const second = await startEmbeddedServer(ready)

    expect(second.started).toBe(true)
    expect(await ask(second, "show databases like 'kept'")).toHaveLength(1)
  })

  test('comes up over what a crash left: half-made data, a stale lock, pid file and socket', async ({
    home,
  }) => {
    await mkdir(join(home, 'data.new/mysql'), { recursive: true })
    await writeFile(join(home, 'data.new/mysql/half'), 'made')
    await writeFile(join(home, 'start.lock'), '4194303\n')
    // a living process that is not ours: it must not be touched
    await writeFile(join(home, 'mysqld.pid'), `${process.pid}\n`)
    await mkdir(join(home, 'run'), { mode: 0o700 })
    await writeFile(join(home, 'run/mysqld.sock'), '')
    await writeFile(join(home, 'run/mysqld.sock.lock'), `${process.pid}\n`)

    const server = await startEmbeddedServer(home, fast)

    expect(server.started).toBe(true)
    expect((await readdir(home)).filter((name) => /lock|new/.test(name))).toEqual([])
    expect(Number(await readFile(join(home, 'mysqld.pid'), 'utf8'))).not.toBe(process.pid)
  })

  test('takes neither a reused pid nor the copy of a home for a living server', async ({
    ready,
    home,
    data,
  }) => {
    // a living process, and another run of the same pid
    await startEmbeddedServer(ready, fast)
    const pid = await pidOf(ready)
    const copy = join(home, 'copy')
    await mkdir(copy)
    await cp(data, join(copy, 'data'), { recursive: true })
    for (const name of ['server.json', 'mysqld.pid'])
      await cp(join(ready, name), join(copy, name), { preserveTimestamps: true })
    const other = await startEmbeddedServer(copy, fast)
    const otherPid = await pidOf(copy)
    await stopEmbeddedServer(copy)
    const { ino } = await stat(join(copy, 'data'))
    const reused = { ...runOf(process.pid), started: '1', wasReady: true, data: ino }
    await writeFile(join(copy, 'server.json'), JSON.stringify(reused))
    const again = await startEmbeddedServer(copy, fast)
    await stopEmbeddedServer(copy)

    expect([other.started, again.started]).toEqual([true, true])
    expect(otherPid).not.toBe(pid)
    expect(await pidOf(ready)).toBe(pid)
  })

  test('waits for a lock that is held, and not for one whose owner has ended or fell silent', async ({
    ready,
  }) => {
    const lock = join(ready, 'start.lock')
    const holder = JSON.stringify({ ...runOf(process.pid), token: 'x' })
    await writeFile(lock, holder)
    let isStarted = false
    const starting = startEmbeddedServer(ready, fast).then(() => {
      isStarted = true
    })
    await sleep(500)
    expect(isStarted).toBe(false)
    await writeFile(lock, JSON.stringify({ ...runOf(process.pid), started: '1' }))
    await starting
    await stopEmbeddedServer(ready)
    // of a container that is gone
    await writeFile(lock, JSON.stringify({ pid: 7, machine: 'another', started: '1' }))
    const longAgo = new Date(Date.now() - 60_000)
    await utimes(lock, longAgo, longAgo)

    expect((await startEmbeddedServer(ready, fast)).started).toBe(true)
  })

  test('is the same by every path: deep, linked, and with another temporary folder', async ({
    ready,
  }) => {
    const deep = join(ready, 'a-folder-with-a-long-name'.repeat(3), 'and-another-one'.repeat(3))
    await mkdir(deep, { recursive: true })
    await cp(join(ready, 'data'), join(deep, 'data'), { recursive: true })
    await symlink(deep, join(ready, 'link'))
    const server = await startEmbeddedServer(deep, fast)
    const pid = await pidOf(deep)
    const { TMPDIR } = process.env
    try {
      for (const folder of ['t1', 't2'.repeat(80)]) {
        process.env.TMPDIR = join(ready, folder)
        await mkdir(process.env.TMPDIR)
        for (const path of [deep, join(ready, 'link')])
          expect((await startEmbeddedServer(path, fast)).started).toBe(false)
      }
    } finally {
      process.env.TMPDIR = TMPDIR
      if (TMPDIR === undefined) delete process.env.TMPDIR
    }

    expect(await pidOf(deep)).toBe(pid)
    expect(await ask(server, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await stopEmbeddedServer(join(ready, 'link'))).toBe(true)
    expect(isProcessAlive(pid)).toBe(false)
  })

  test('is left running when it is too busy to answer, stopped, or has lost its socket', async ({
    ready,
  }) => {
    const server = await startEmbeddedServer(ready, {
      ...fast,
      serverOptions: ['--max-connections=10'],
    })
    const pid = await pidOf(ready)
    const users = await Promise.all(
      Array.from({ length: 11 }, () => openConnection({ ...server, connectTimeoutMs: 5000 })),
    )
    const busy = await startEmbeddedServer(ready, fast)
    for (const user of users.slice(1)) user.destroy()
    process.kill(pid, 'SIGSTOP')
    const stopped = await refusalOf(ready)
    process.kill(pid, 'SIGCONT')
    await rm(join(ready, 'run/mysqld.sock'))
    const cutOff = await refusalOf(ready)

    expect([busy.started, stopped, cutOff]).toEqual([
      false,
      'DATABASE.EMBEDDED_SILENT',
      'DATABASE.EMBEDDED_CUT_OFF',
    ])
    expect(await askOn(users[0] as Connection, 'select 1 as one')).toEqual([{ one: 1 }])
    users[0]?.destroy()
    const status = await embeddedStatus(ready)
    expect(status).toMatchObject({ running: true, answering: false, pid })
    expect(await stopEmbeddedServer(ready)).toBe(true)
    expect((await startEmbeddedServer(ready, fast)).started).toBe(true)
  })

  test('is found by its socket when neither record nor pid file is left', async ({ ready }) => {
    await startEmbeddedServer(ready, fast)
    const pid = await pidOf(ready)
    for (const name of ['server.json', 'mysqld.pid']) {
      const text = await readFile(join(ready, name))
      await rm(join(ready, name))
      expect(await embeddedStatus(ready)).toMatchObject({ running: true, pid })
      await writeFile(join(ready, name), text)
    }
    for (const name of ['server.json', 'mysqld.pid']) await rm(join(ready, name))

    expect((await startEmbeddedServer(ready, fast)).started).toBe(false)
    expect(await embeddedStatus(ready)).toMatchObject({ running: true, answering: true })
    process.kill(pid, 'SIGTERM')
  })

  // MariaDB itself waits half a minute for the lock
  test.skipIf(!isCampaign)(
    'leaves data alone that a process out of sight has open, as in another container',
    async ({ ready }) => {
      await startEmbeddedServer(ready, fast)
      const pid = await pidOf(ready)
      for (const name of ['server.json', 'mysqld.pid', 'run/mysqld.sock'])
        await rm(join(ready, name))

      expect(await refusalOf(ready)).toBe('DATABASE.EMBEDDED_ELSEWHERE')
      expect(isProcessAlive(pid)).toBe(true)
      process.kill(pid, 'SIGTERM')
    },
  )

  test('survives the command that was starting it, and serves the next one', async ({ ready }) => {
    const { child, ended } = startBin({ VALIDONX_HOME: ready }, ['init'])
    while (!existsSync(join(ready, 'server.json'))) await sleep(5)
    child.kill('SIGKILL')
    await ended
    const { pid } = JSON.parse(await readFile(join(ready, 'server.json'), 'utf8'))

    const server = await startEmbeddedServer(ready, fast)

    expect([server.started, await pidOf(ready)]).toEqual([false, pid])
  })

  test('works in a folder whose name has blanks, quotes and more', async ({ home }) => {
    const strange = join(home, `it's "a"  home $(x) \`y\` *?[z] #;%=\\ é`)
    await mkdir(strange)

    const server = await startEmbeddedServer(strange, fast)

    expect(await ask(server, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await stopEmbeddedServer(strange)).toBe(true)
  })

  test('says why it does not start, and leaves nothing half-made', async ({ home }) => {
    const shell = `ulimit -f 4096; exec "$0" "$@"`
    const argv = ['-c', shell, process.execPath, 'bin/validonx.js', 'init', '--home', home]
    const child = spawn('bash', argv, {
      cwd: ROOT,
      env: { PATH: process.env.PATH ?? '' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (chunk) => {
      said += chunk
    })
    const exit = await new Promise((done) => child.once('close', done))

    expect([exit, said]).toEqual([70, expect.stringMatching(/EMBEDDED_FAILED.*\n {2}because: ./)])
    expect((await readdir(home)).filter((name) => name.startsWith('data'))).toEqual([])
  })

  test('stops when told, and says whether it ran', async ({ ready }) => {
    const before = await runCli({}, ['dev', 'status', '--home', ready, '--json'])
    await startEmbeddedServer(ready, fast)
    const during = await runCli({}, ['dev', 'status', '--home', ready, '--json'])
    const stopped = await runCli({}, ['dev', 'stop', '--home', ready, '--json'])
    const again = await runCli({}, ['dev', 'stop', '--home', ready, '--json'])

    expect(JSON.parse(before.out)).toMatchObject({ running: false, pid: null })
    expect(JSON.parse(during.out)).toMatchObject({ running: true, pid: expect.any(Number) })
    expect([JSON.parse(stopped.out), JSON.parse(again.out)]).toEqual([
      { stopped: true },
      { stopped: false },
    ])
    expect(() => process.kill(JSON.parse(during.out).pid, 0)).toThrow()
  })

  test('says which folder it cannot write', async ({ home }) => {
    await writeFile(join(home, 'file'), '')

    const { exit, said } = await runCli({}, ['init', '--home', join(home, 'file/below')])

    expect([exit, said]).toEqual([73, expect.stringContaining('CONFIG.HOME_NOT_WRITABLE')])
  })

  test('makes its application key once, for its owner alone, and shows no secret', async ({
    ready,
  }) => {
    const runs = await Promise.all([
      runCli({}, ['init', '--home', ready]),
      runCli({}, ['init', '--home', ready, '--json']),
    ])

    expect((await stat(join(ready, 'app.key'))).mode & 0o777).toBe(0o600)
    const key = (await readFile(join(ready, 'app.key'), 'utf8')).trim()
    for (const { out, said } of runs) {
      expect(out + said).not.toContain(key)
      expect(out + said).not.toContain('mysql://')
      expect(out + said).not.toContain('VALIDONX_RUNTIME_URL')
    }
    // two first commands at once: one prepares the platform, the other works with it or says who does
    expect(runs.some(({ exit }) => exit === 0)).toBe(true)
    for (const { exit, said } of runs) if (exit !== 0) expect(said).toContain('LEASE.HELD')
  })
})

test('stopping a server that has no process here and refuses to stop ends with an error', async ({
  home,
}) => {
  await mkdir(join(home, 'data'))
  await mkdir(join(home, 'run'), { recursive: true, mode: 0o700 })
  const { socket } = await embeddedStatus(home)
  // as a server whose connections are all taken, in another container that shares the folder
  const said = Buffer.from('\xff\x10\x04#08004Too many connections', 'latin1')
  const refusing = createServer((client) => {
    client.on('error', () => {})
    client.end(Buffer.concat([Buffer.from([said.length, 0, 0, 0]), said]))
  })
  await new Promise<void>((done, fail) => refusing.once('error', fail).listen(socket, done))
  try {
    const code = await stopEmbeddedServer(home, { patienceMs: 200 }).then(() => 'stopped', codeOf)
    expect(code).toBe('DATABASE.EMBEDDED_ELSEWHERE')
  } finally {
    await new Promise((done) => refusing.close(done))
  }
})
