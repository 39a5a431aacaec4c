import { existsSync, readFileSync } from 'node:fs'
import { Hono } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import { version } from '../../core/version.js'
import type { ApiGroup } from '../api-group.js'
import type { ServerEnv } from '../env.js'
import { openApiOf } from '../openapi.js'

/** The reference page's files, copied beside the build from a package that only the build needs. */
const ASSETS: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'start.js': 'text/javascript; charset=utf-8',
}

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>ValidonX API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css">
    <link rel="icon" href="data:,">
  </head>
  <body>
    <main id="reference"></main>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`

const START = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#reference',
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
})
`

/** `/openapi.json`, and `/docs`: a page that lists the endpoints and tries them out. All of it is served from here. */
export function docs(groups: readonly ApiGroup[]): Hono<ServerEnv> {
  const document = openApiOf(groups, version)
  const files = new Map<string, string>()
  return new Hono<ServerEnv>()
    .get('/openapi.json', (c) => c.json(document))
    .use(
      '/docs/*',
      secureHeaders({
        contentSecurityPolicy: {
          defaultSrc: ["'none'"],
          scriptSrc: ["'self'"],
          styleSrc: ["'self'", "'unsafe-inline'"],
          imgSrc: ["'self'", 'data:'],
          connectSrc: ["'self'"],
        },
      }),
    )
    .get('/docs', (c) => c.html(PAGE))
    .get('/docs/:file', (c, next) => {
      const file = c.req.param('file')
      const type = Object.hasOwn(ASSETS, file) ? ASSETS[file] : undefined
      if (type === undefined) return next()
      const text = file === 'start.js' ? START : (files.get(file) ?? readAsset(file))
      files.set(file, text)
      return c.body(text, 200, { 'Content-Type': type, 'Cache-Control': 'public, max-age=3600' })
    })
}

/** Beside the build, or, where the sources run, in the package itself. */
function readAsset(file: string): string {
  const places = [`../assets/${file}`, `../../../node_modules/swagger-ui-dist/${file}`]
  const found = places
    .map((place) => new URL(place, import.meta.url))
    .find((url) => existsSync(url))
  return found ? readFileSync(found, 'utf8') : ''
}
