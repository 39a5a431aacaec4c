import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { App } from '../../src/server/app.js'

export type RawRequest = {
  readonly path: string
  readonly method?: string
  /** Names and values in turn, as they go over the wire. */
  readonly headers?: readonly string[]
  /** Absent: no body, and no header that speaks of one. */
  readonly body?: string | Uint8Array
  /** Sends the body in chunks, without saying its length first. */
  readonly isChunked?: boolean
}

export type RawAnswer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

export type RawHttp = AsyncDisposable & { send(request: RawRequest): Promise<RawAnswer> }

/** An app behind a real socket, for what a `Request` cannot hold: repeated headers, bytes, lengths. */
export async function openRawHttp(app: App): Promise<RawHttp> {
  const answer = getRequestListener(app.fetch)
  const server = createServer((incoming, outgoing) => void answer(incoming, outgoing))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    send: (wish) => send(port, wish),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

function send(
  port: number,
  { path, method = 'POST', headers = [], body, isChunked = false }: RawRequest,
): Promise<RawAnswer> {
  const bytes = Buffer.from(body ?? '')
  const fields = ['Host', `127.0.0.1:${port}`, 'Connection', 'close', ...headers]
  if (isChunked) fields.push('Transfer-Encoding', 'chunked')
  else if (body !== undefined) fields.push('Content-Length', String(bytes.length))
  let head = `${method} ${path} HTTP/1.1\r\n`
  for (let index = 0; index < fields.length; index += 2)
    head += `${fields[index]}: ${fields[index + 1]}\r\n`
  return new Promise((done, fail) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => {
      // one byte for each character, so that a test says which bytes go
      socket.write(`${head}\r\n`, 'latin1')
      socket.write(isChunked ? chunked(bytes) : bytes)
    })
    socket.on('data', (chunk) => chunks.push(chunk))
    // who refuses a body may close before all of it was taken: the answer came before that
    socket.on('error', (error) => (chunks.length > 0 ? end() : fail(error)))
    const end = () => done(read(Buffer.concat(chunks)))
    socket.on('end', end)
  })
}

/** Two chunks and the one that ends them; an empty body is its end alone. */
function chunked(bytes: Buffer): Buffer {
  const half = Math.ceil(bytes.length / 2)
  const parts = [bytes.subarray(0, half), bytes.subarray(half), Buffer.alloc(0)]
  return Buffer.concat(
    parts
      .filter(({ length }, index) => length > 0 || index === parts.length - 1)
      .flatMap((part) => [
        Buffer.from(`${part.length.toString(16)}\r\n`),
        part,
        Buffer.from('\r\n'),
      ]),
  )
}

function read(answer: Buffer): RawAnswer {
  const end = answer.indexOf('\r\n\r\n')
  const [status = '', ...lines] = answer.subarray(0, end).toString('latin1').split('\r\n')
  const headers = new Headers()
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  const body = answer.subarray(end + 4)
  const isChunked = headers.get('Transfer-Encoding') === 'chunked'
  return {
    status: Number(status.split(' ')[1]),
    headers,
    text: (isChunked ? joined(body) : body).toString(),
  }
}

/** A body without the marks of its chunks. */
function joined(body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const line = body.indexOf('\r\n', at)
    const length = Number.parseInt(body.subarray(at, line).toString(), 16)
    if (!(length > 0)) return Buffer.concat(parts)
    parts.push(body.subarray(line + 2, line + 2 + length))
    at = line + 2 + length + 2
  }
}
