import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A Redis of our own on a free port, which can be killed, stopped and brought back on the same port. */
export class RedisServer implements AsyncDisposable {
  readonly port: number
  readonly #folder: string
  #child: ChildProcess | undefined

  private constructor(port: number, folder: string, options: readonly string[]) {
    this.port = port
    this.#folder = folder
    this.#options = options
  }

  readonly #options: readonly string[]

  static async start(options: readonly string[] = []): Promise<RedisServer> {
    const server = new RedisServer(
      await freePort(),
      await mkdtemp(join(tmpdir(), 'validonx-redis-')),
      options,
    )
    await server.start()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Resolves when it takes commands. It begins empty each time. */
  async start(): Promise<void> {
    const child = spawn(
      'redis-server',
      // biome-ignore format: one option a line
      [
        '--port', String(this.port),
        '--bind', '127.0.0.1',
        '--dir', this.#folder,
        '--save', '',
        '--appendonly', 'no',
        ...this.#options,
      ],
      {
        env: { PATH: `${process.env.PATH ?? ''}:/usr/bin:/usr/local/bin` },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    this.#child = child
    await new Promise<void>((done, fail) => {
      let said = ''
      child.stdout?.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        if (said.includes('Ready to accept connections')) done()
      })
      child.once('error', fail)
      child.once('exit', () => fail(new Error(`redis-server ended: ${said}`)))
    })
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(name)
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || address === null) throw new Error('no free port')
  return address.port
}
