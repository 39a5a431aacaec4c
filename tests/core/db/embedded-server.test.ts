import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, describe, expect } from 'vitest'
import { openConnection } from '../../../src/core/db/connect.js'
import {
  type EmbeddedServer,
  embeddedStatus,
  startEmbeddedServer,
  stopEmbeddedServer,
} from '../../../src/core/db/embedded-server.js'
import { runCli } from '../../support/house.js'

const fast = { durable: false } as const

const test = base.extend('home', async ({ task: _ }, { onCleanup }) => {
  const home = await mkdtemp(join(tmpdir(), 'validonx-embedded-'))
  onCleanup(async () => {
    await stopEmbeddedServer(home)
    await rm(home, { recursive: true, force: true })
  })
  return home
})

async function ask<Row>(server: EmbeddedServer, sql: string): Promise<Row[]> {
  const connection = await openConnection({ ...server, connectTimeoutMs: 5000 })
  const rows = await new Promise((done, fail) =>
    connection.query(sql, (error, result) => (error ? fail(error) : done(result))),
  )
  connection.destroy()
  return rows as Row[]
}

describe('the embedded server', () => {
  test('is private: a socket that only its owner reaches, no network, nobody else let in', async ({
    home,
  }) => {
    const server = await startEmbeddedServer(home, fast)

    const [row] = await ask<{ networking: number }>(
      server,
      'select @@skip_networking as networking',
    )
    const others = await ask(
      server,
      "select user, host from mysql.user where user = '' or (user = 'root' and host = '%')",
    )
    const open = await ask(server, "select db from mysql.db where db like 'test%'")
    expect([row?.networking, others, open]).toEqual([1, [], []])
    expect((await stat(join(server.address.socketPath ?? '', '..'))).mode & 0o077).toBe(0)
  })

  test('keeps its temporary tables to itself, where no other server clears them away', async ({
    home,
  }) => {
    const server = await startEmbeddedServer(home, fast)

    const [row] = await ask<{ folder: string }>(server, 'select @@tmpdir as folder')
    expect(row?.folder).toBe(join(home, 'tmp'))
    expect((await stat(join(home, 'tmp'))).mode & 0o077).toBe(0)
  })

  test('is shared by all who start it at once', async ({ home }) => {
    const servers = await Promise.all(
      Array.from({ length: 8 }, () => startEmbeddedServer(home, fast)),
    )

    expect(servers.filter(({ started }) => started)).toHaveLength(1)
    expect(new Set(servers.map(({ address }) => address.socketPath)).size).toBe(1)
  })

  test('comes back with its data after it was killed', async ({ home }) => {
    const first = await startEmbeddedServer(home)
    await ask(first, 'create database kept')
    const { pid = 0 } = await embeddedStatus(home)
    process.kill(pid, 'SIGKILL')

    const second = await startEmbeddedServer(home)

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

    const server = await startEmbeddedServer(home, fast)

    expect(server.started).toBe(true)
    expect(existsSync(join(home, 'start.lock'))).toBe(false)
    expect(Number(await readFile(join(home, 'mysqld.pid'), 'utf8'))).not.toBe(process.pid)
  })

  test('works in a folder whose path is longer than a socket may have', async ({ home }) => {
    const deep = join(home, 'a-folder-with-a-long-name'.repeat(3), 'and-another-one'.repeat(3))
    await mkdir(deep, { recursive: true })

    const server = await startEmbeddedServer(deep, fast)

    expect(Buffer.byteLength(server.address.socketPath ?? '')).toBeLessThan(100)
    expect(await ask(server, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await stopEmbeddedServer(deep)).toBe(true)
  })

  test('stops when told, and says whether it ran', async ({ home }) => {
    const before = await runCli({}, ['dev', 'status', '--home', home, '--json'])
    await startEmbeddedServer(home, fast)
    const during = await runCli({}, ['dev', 'status', '--home', home, '--json'])
    const stopped = await runCli({}, ['dev', 'stop', '--home', home, '--json'])
    const again = await runCli({}, ['dev', 'stop', '--home', home, '--json'])

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

    const { exit, said } = await runCli({}, ['tenant', 'list', '--home', join(home, 'file/below')])

    expect([exit, said]).toEqual([73, expect.stringContaining('CONFIG.HOME_NOT_WRITABLE')])
  })

  test('makes its application key once, for its owner alone, and the platform with it', async ({
    home,
  }) => {
    const runs = await Promise.all([
      runCli({}, ['tenant', 'provision', 'acme', '--home', home, '--json']),
      runCli({}, ['tenant', 'provision', 'beta', '--home', home, '--json']),
    ])

    expect((await stat(join(home, 'app.key'))).mode & 0o777).toBe(0o600)
    const key = (await readFile(join(home, 'app.key'), 'utf8')).trim()
    for (const { out, said } of runs) expect(out + said).not.toContain(key)
    // two first commands at once: one prepares the platform, the other works with it or says who does
    expect(runs.some(({ exit }) => exit === 0)).toBe(true)
    for (const { exit, said } of runs) if (exit !== 0) expect(said).toContain('LEASE.HELD')
  })
})
