import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { chromium, type Page } from 'playwright-core'
import { describe, expect } from 'vitest'
import { test as house } from '../support/house.js'
import { issueFor } from '../support/license.js'
import { initialize } from '../support/platform.js'
import { startServe } from '../support/process.js'
import { ROOT } from '../support/source-files.js'

const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const test = house
  .extend('server', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const { VALIDONX_DATABASE_URL: _, ...rest } = environment
    const server = await startServe({
      ...rest,
      VALIDONX_RUNTIME_URL: await initialize(environment),
    })
    onCleanup(() => {
      server.child.kill('SIGKILL')
    })
    return server
  })
  .extend('page', { scope: 'file' }, async ({ server: _ }, { onCleanup }): Promise<Page> => {
    const browser = await chromium.launch({
      executablePath: BROWSERS.find((path) => existsSync(path)) ?? 'chromium',
      args: FLAGS,
    })
    onCleanup(() => browser.close())
    return browser.newPage({ viewport: { width: 1200, height: 1600 } })
  })

describe('the reference page', () => {
  test('lists every endpoint, and takes everything from this server', async ({ server, page }) => {
    const elsewhere: string[] = []
    const faults: string[] = []
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:'))
        elsewhere.push(request.url())
    })
    page.on('pageerror', (error) => faults.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error') faults.push(message.text())
    })

    await page.goto(`${server.url}/docs`)
    await page.waitForSelector('.opblock')
    const listed = await page.locator('.opblock-summary-path').allTextContents()

    const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
      paths: Record<string, object>
    }
    const paths = listed.map((path) => path.replaceAll('\u200b', ''))
    expect(paths.sort()).toEqual(
      Object.entries(document.paths)
        .flatMap(([path, methods]) => Object.keys(methods).map(() => path))
        .sort(),
    )
    const under = (base: string) => paths.filter((path) => path.startsWith(base)).length
    expect([under('/v1/integration/'), under('/v1/auth/') > 0, under('/v1/tenant/') > 0]).toEqual([
      5,
      true,
      true,
    ])
    expect([elsewhere, faults]).toEqual([[], []])
  })

  test('a call that is tried out works', async ({ server, page, scope, tenant }) => {
    const { license } = await issueFor(scope, {
      product: 'app',
      type: 'perpetual',
    })
    await page.goto(`${server.url}/docs`)
    await page.click('.btn.authorize')
    await page.fill('.auth-container input', tenant.apiKey)
    await page.click('.auth-btn-wrapper .authorize')
    await page.click('.auth-btn-wrapper .btn-done')
    const block = page.locator('.opblock', { hasText: '/validate' }).first()
    await block.locator('.opblock-summary').click()
    await block.locator('input[placeholder="licenseKey"]').fill(license.key)
    await block.locator('.btn.execute').click()
    const live = block.locator('.live-responses-table')
    await live.waitFor()

    expect(await live.locator('.response-col_status').last().textContent()).toContain('200')
    expect(await live.textContent()).toContain(license.key)
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT })
  })
})

test('a public linter finds no fault in the OpenAPI document', async ({ app }) => {
  const folder = await mkdtemp(join(tmpdir(), 'validonx-openapi-'))
  const lint = async (document: unknown) => {
    const path = join(folder, 'openapi.json')
    await writeFile(path, JSON.stringify(document))
    await writeFile(
      join(folder, 'redocly.yaml'),
      'extends: [recommended-strict]\nrules:\n  operation-4xx-response: error\n',
    )
    const bin = join(ROOT, 'node_modules/@redocly/cli/bin/cli.js')
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [bin, 'lint', path, '--format=json', `--config=${join(folder, 'redocly.yaml')}`],
      {
        env: {
          PATH: process.env.PATH ?? '',
          HOME: folder,
          REDOCLY_TELEMETRY: 'off',
          REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true',
        },
      },
    ).catch((failed: { stdout: string; stderr: string }) => failed)
    const start = stdout.indexOf('{')
    if (start < 0) throw new Error(stderr)
    return (
      JSON.parse(stdout.slice(start)) as { problems: { ruleId: string; message: string }[] }
    ).problems.map(({ ruleId, message }) => `${ruleId}: ${message}`)
  }
  const document = (await (await app.request('/openapi.json')).json()) as {
    paths: Record<string, object>
  }
  const [path = ''] = Object.keys(document.paths)
  const broken = { ...document, paths: { ...document.paths, [path]: { post: { responses: {} } } } }

  const [found, planted] = [await lint(document), await lint(broken)]
  await rm(folder, { recursive: true, force: true })

  expect(found).toEqual([])
  expect(planted.length).toBeGreaterThan(0)
})
