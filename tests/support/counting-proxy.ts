import { connect, createServer, type Socket } from 'node:net'
import type { ServerAddress } from '../../src/core/db/server-address.js'

/** When to call back, and what the client is to see of the command then. */
export type Interruption = {
  /** Counted from 1, over all connections. */
  readonly command: number
  /** `before`: the server never gets it. `after`: the server has done it, and the client never hears so. */
  readonly when: 'before' | 'after'
  readonly act: () => void
}

const COM_QUIT = 1

/**
 * Stands between a client and its database server and counts the commands (statements, switches of
 * users) that go through, so that a test can do something before or after any one of them.
 */
export class CountingProxy implements AsyncDisposable {
  /** Set before the client starts. */
  interruption: Interruption | undefined
  count = 0
  readonly port: number
  readonly #server: ReturnType<typeof createServer>
  readonly #sockets = new Set<Socket>()

  private constructor(server: ReturnType<typeof createServer>, port: number) {
    this.#server = server
    this.port = port
  }

  static async open({ host, port, socketPath }: ServerAddress): Promise<CountingProxy> {
    const server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const bound = server.address()
    const proxy = new CountingProxy(server, typeof bound === 'object' ? (bound?.port ?? 0) : 0)
    server.on('connection', (client) => {
      proxy.#carry(client, socketPath ? connect(socketPath) : connect(port, host))
    })
    return proxy
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise((done) => this.#server.close(() => done()))
  }

  #carry(client: Socket, server: Socket): void {
    let pending = Buffer.alloc(0)
    let swallowing = false
    let answered: (() => void) | undefined
    const end = () => {
      client.destroy()
      server.destroy()
      this.#sockets.delete(client)
      this.#sockets.delete(server)
    }
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.on('error', end).on('close', end)
    }
    client.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 4 && pending.length >= 4 + pending.readUIntLE(0, 3)) {
        const packet = pending.subarray(0, 4 + pending.readUIntLE(0, 3))
        pending = pending.subarray(packet.length)
        if (swallowing) continue
        const isCommand = packet[3] === 0 && packet.length > 4 && packet[4] !== COM_QUIT
        if (isCommand) this.count += 1
        const cut =
          isCommand && this.interruption?.command === this.count ? this.interruption : undefined
        if (cut?.when === 'before') {
          swallowing = true
          cut.act()
          continue
        }
        if (cut) answered = cut.act
        server.write(packet)
      }
    })
    server.on('data', (chunk: Buffer) => {
      if (answered) {
        swallowing = true
        answered()
        answered = undefined
      }
      if (!swallowing) client.write(chunk)
    })
  }
}
