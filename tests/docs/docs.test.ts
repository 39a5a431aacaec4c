import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { actions } from '../../src/core/events/actions.js'
import { ROOT, sourceFiles } from '../support/source-files.js'
import {
  commandsBlock,
  demoBlock,
  eventsBlock,
  readBlock,
  rolesBlock,
  settingsBlock,
  withoutChance,
} from './generated.js'

const read = (path: string) => readFile(join(ROOT, path), 'utf8')

const pages = async (): Promise<string[]> => [
  'README.md',
  'CONTRIBUTING.md',
  ...(await readdir(join(ROOT, 'docs'), { recursive: true }))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

test('the README shows what the demo shows', async () => {
  expect(withoutChance(readBlock(await read('README.md'), 'demo'))).toBe(
    withoutChance(await demoBlock()),
  )
})

test('the README has every command, and docs/configuration.md every setting', async () => {
  expect(readBlock(await read('README.md'), 'commands')).toBe(commandsBlock())
  expect(readBlock(await read('docs/configuration.md'), 'settings')).toBe(settingsBlock())
})

test('docs/roles.md has the table of permissions, and every permission opens a route', async () => {
  expect(readBlock(await read('docs/roles.md'), 'roles')).toBe(rolesBlock())
  expect(rolesBlock()).not.toMatch(/\| {2}\|\n/)
})

test('docs/events.md has the catalogue, and every entry is written somewhere', async () => {
  expect(readBlock(await read('docs/events.md'), 'events')).toBe(eventsBlock())
  const sources = (await sourceFiles('src')).filter((file) => !file.endsWith('events/actions.ts'))
  const text = (await Promise.all(sources.map(read))).join('\n')
  const unwritten = Object.keys(actions).filter((action) => {
    // an endpoint's moves are named by what was done
    const [noun, verb] = action.split('.')
    return (
      !text.includes(`'${action}'`) && !(noun === 'webhook_endpoint' && text.includes(`'${verb}'`))
    )
  })
  expect(unwritten).toEqual([])
})

test('every file that a page names is there', async () => {
  const missing = []
  for (const page of await pages()) {
    const text = await read(page)
    const named = [...text.matchAll(/`((?:src|tests|docs|bin|migrations|seeds)\/[\w./-]+)`/g)].map(
      ([, path = '']) => path,
    )
    const linked = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path = '']) =>
      join(dirname(page), path),
    )
    for (const path of [...named, ...linked])
      if (!existsSync(join(ROOT, path))) missing.push(`${page}: ${path}`)
  }
  expect(missing).toEqual([])
})

test('every npm script that a page names exists', async () => {
  const { scripts } = JSON.parse(await read('package.json')) as { scripts: Record<string, string> }
  for (const page of await pages()) {
    for (const [, name = ''] of (await read(page)).matchAll(/npm run ([\w:]+)/g))
      expect(scripts, page).toHaveProperty(name)
  }
})
