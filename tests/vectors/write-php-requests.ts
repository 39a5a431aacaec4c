import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { ROOT } from '../support/source-files.js'

/** Writes tests/vectors/php-requests.json. Needs PHP: `npx tsx tests/vectors/write-php-requests.ts`. */
const recorded: unknown[] = []

const OURS = new Set(['x-name', 'x-path', 'x-client', 'host', 'content-length'])

const server = createServer(async (request, response) => {
  const { headers, rawHeaders } = request
  const pairs = Array.from({ length: rawHeaders.length / 2 }, (_, index) =>
    rawHeaders.slice(index * 2, index * 2 + 2),
  )
  recorded.push({
    client: headers['x-client'],
    name: headers['x-name'],
    path: headers['x-path'],
    // an activation is asked for by an instance that has a seat
    success: 200,
    method: request.method,
    headers: pairs.filter(([name = '']) => !OURS.has(name.toLowerCase())).flat(),
    body: await text(request),
  })
  response.end()
})
await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
const { port } = server.address() as AddressInfo
await promisify(execFile)('php', [join(ROOT, 'tests/vectors/php-requests.php'), String(port)])
server.close()
await writeFile(
  join(ROOT, 'tests/vectors/php-requests.json'),
  `${JSON.stringify(recorded, undefined, 2)}\n`,
)
