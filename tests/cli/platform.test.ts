import { chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { Command } from 'commander'
import { describe, expect } from 'vitest'
import { createProgram } from '../../src/cli/program.js'
import { embeddedStatus, stopEmbeddedServer } from '../../src/core/db/embedded-server.js'
import { test as house, runCli } from '../support/house.js'
import { startServe } from '../support/process.js'
import { makeThrowAwayFolder } from '../support/throw-away-folder.js'

/** These make a platform, or work without one. */
const WITHOUT_PLATFORM = ['init', 'serve', 'dev', 'config', 'doctor', 'migration']

/** A folder with nothing in it, and one whose platform was made by the first command there, "serve". */
const test = house
  .extend('empty', async ({ task: _ }, { onCleanup }) => {
    const folder = await makeThrowAwayFolder('empty')
    onCleanup(() => rm(folder, { recursive: true, force: true }))
    return folder
  })
  .extend('served', { scope: 'file' }, async ({ environment: _ }, { onCleanup }) => {
    const folder = await makeThrowAwayFolder('served')
    const home = join(folder, '.validonx')
    const serving = await startServe({ VALIDONX_HOME: home })
    onCleanup(async () => {
      serving.child.kill('SIGKILL')
      await stopEmbeddedServer(home)
      await rm(folder, { recursive: true, force: true })
    })
    return { folder, home, serving }
  })

/** Every command, with something for each argument and option that it must have. */
function commandLines(command: Command, path: readonly string[] = []): string[][] {
  if (command.commands.length > 0)
    return command.commands.flatMap((child) => commandLines(child, [...path, child.name()]))
  const needed = command.options.filter(({ mandatory }) => mandatory)
  return [
    [
      ...path,
      ...command.registeredArguments.map(() => 'acme'),
      ...needed.flatMap(({ long }) => [long ?? '', 'acme']),
    ],
  ]
}

const program = () => {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  return createProgram({
    ...{ stdin, stdout, stderr, environment: {}, folder: '/' },
    setExit: () => {},
    onStop: () => () => {},
    onCrash: () => () => {},
  })
}

describe('the platform of a command', () => {
  test('is made by none but init, demo and serve: all others name the next step', async ({
    empty,
  }) => {
    const lines = commandLines(program()).filter(([name = '']) => !WITHOUT_PLATFORM.includes(name))
    const wrong: unknown[] = []
    for (const argv of lines) {
      const { out, said, exit } = await runCli({}, argv, '', { folder: empty })
      const isRefused = exit === 78 && said.includes('PLATFORM.NONE_HERE')
      if (!isRefused || !said.includes('validonx init')) wrong.push([argv.join(' '), exit, said])
      expect(out).toBe('')
    }
    const looking = [['doctor'], ['dev', 'status'], ['dev', 'stop'], ['config']]
    for (const argv of looking) await runCli({}, argv, '', { folder: empty })

    expect(lines.length).toBeGreaterThan(50)
    expect(wrong).toEqual([])
    expect(await readdir(empty)).toEqual([])
  })

  test('is made by serve, as the first command in a folder, so that all others work', async ({
    served: { folder, serving },
  }) => {
    const ready = await fetch(`${serving.url}/readyz`)
    const made = await runCli({}, ['tenant', 'provision', 'acme'], '', { folder })
    const listed = await runCli({}, ['tenant', 'list', '--json'], '', { folder })

    expect(ready.status).toBe(200)
    expect([made.exit, made.out]).toEqual([0, expect.stringMatching(/^status +active$/m)])
    expect(JSON.parse(listed.out)).toMatchObject({ slug: 'acme', status: 'active' })
  })

  test('is named on stderr, and not with --json', async ({ served: { folder, home } }) => {
    const shown = await runCli({}, ['tenant', 'list'], '', { folder })
    const json = await runCli({}, ['tenant', 'list', '--json'], '', { folder })

    const name = `platform validonx_platform on the embedded server of ${home}\n`
    expect(shown.said.startsWith(name)).toBe(true)
    expect([shown.out.includes('embedded'), json.said]).toEqual([false, ''])
  })

  test('is the nearest one above, up to a folder with settings of its own', async ({
    served: { folder, home },
  }) => {
    const below = join(folder, 'a/b')
    await mkdir(below, { recursive: true })
    const found = await runCli({}, ['tenant', 'list'], '', { folder: below })
    const status = await runCli({}, ['dev', 'status', '--json'], '', { folder: below })
    await writeFile(join(folder, 'a/.env'), 'VALIDONX_PORT=1\n')
    const stopped = await runCli({}, ['tenant', 'list'], '', { folder: below })

    expect([found.exit, found.said]).toEqual([0, expect.stringContaining(home)])
    expect(JSON.parse(status.out)).toMatchObject({ running: true, data: join(home, 'data') })
    expect([stopped.exit, stopped.said]).toEqual([78, expect.stringContaining('NONE_HERE')])
    await rm(join(folder, 'a'), { recursive: true })
  })

  test('is never started in production, also if it is there', async ({ served: { folder } }) => {
    const { exit, said } = await runCli({ NODE_ENV: 'production' }, ['tenant', 'list'], '', {
      folder,
    })

    expect([exit, said]).toEqual([78, expect.stringContaining('CONFIG.DATABASE_MISSING')])
  })

  test('is started again by the next command after it was stopped', async ({
    served: { folder, home },
  }) => {
    expect(await stopEmbeddedServer(home)).toBe(true)
    const { exit, said, out } = await runCli({}, ['tenant', 'list'], '', { folder })

    expect([exit, said]).toEqual([0, expect.stringContaining(`${home} (started)\n`)])
    expect(out).toContain('acme')
    expect(await embeddedStatus(home)).toMatchObject({ running: true, answering: true })
  })

  // only root can give a folder away
  test.skipIf(process.getuid?.() !== 0)('is not that of another user', async ({ empty }) => {
    await mkdir(join(empty, '.validonx/data'), { recursive: true })
    await mkdir(join(empty, 'below'))
    await chown(join(empty, '.validonx'), 12345, 12345)
    await chown(join(empty, '.validonx/data'), 12345, 12345)

    const there = await runCli({}, ['tenant', 'list'], '', { folder: empty })
    const stop = await runCli({}, ['dev', 'stop'], '', { folder: empty })
    const below = await runCli({}, ['tenant', 'list'], '', { folder: join(empty, 'below') })

    for (const { exit, said } of [there, stop])
      expect([exit, said]).toEqual([77, expect.stringContaining('uid 12345')])
    expect([below.exit, below.said]).toEqual([78, expect.stringContaining('NONE_HERE')])
    expect(await readdir(join(empty, '.validonx'))).toEqual(['data'])
  })
})

test('a platform on a real server is named without its login', async ({ environment }) => {
  const { said } = await runCli(environment, ['tenant', 'list'])
  const reports = [
    await runCli(environment, ['tenant', 'health', '--all', '--json']),
    await runCli(environment, ['tenant', 'migrate', '--check', '--json']),
    await runCli(environment, ['tenant', 'migrate', '--json']),
  ]
  const { VALIDONX_DATABASE_URL: url = '', VALIDONX_PLATFORM_DATABASE: database } = environment

  const address = new URL(url).searchParams.get('socket') ?? new URL(url).host
  expect(said.split('\n')[0]).toBe(`platform ${database} on ${address}`)
  for (const report of reports) {
    expect(report.said).toBe('')
    for (const line of report.out.trim().split('\n'))
      expect(JSON.parse(line).platform).toBe(`${database} on ${address}`)
  }
  expect(said).not.toContain('root')
})
