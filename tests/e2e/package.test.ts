import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import { test } from '../support/house.js'
import { ROOT } from '../support/source-files.js'

const run = promisify(execFile)

test('the package works where it is installed, without any install script', async ({
  environment,
}) => {
  const folder = await mkdtemp(join(tmpdir(), 'validonx-package-'))
  const quiet = ['--loglevel=error', '--no-audit', '--no-fund']
  try {
    await run('npm', ['pack', '--ignore-scripts', `--pack-destination=${folder}`, ...quiet], {
      cwd: ROOT,
    })
    const [tarball = ''] = await readdir(folder)
    await writeFile(join(folder, 'package.json'), '{"name":"elsewhere","private":true}')
    await run('npm', ['install', `./${tarball}`, '--ignore-scripts', ...quiet], { cwd: folder })
    const validonx = (...argv: string[]) =>
      run(join(folder, 'node_modules/.bin/validonx'), argv, {
        cwd: folder,
        env: { PATH: process.env.PATH ?? '', HOME: folder, ...environment },
      })

    const help = await validonx('--help')
    const version = await validonx('--version')
    const provisioned = await validonx('tenant', 'provision', 'packaged', '--json')

    expect(help.stdout).toContain('Usage: validonx')
    expect(version.stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/)
    expect(JSON.parse(provisioned.stdout)).toMatchObject({
      outcome: 'provisioned',
      tenant: { status: 'active' },
    })
    const shipped = await readdir(join(folder, 'node_modules/validonx'))
    expect(shipped.sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'bin',
      'dist',
      'package.json',
    ])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
