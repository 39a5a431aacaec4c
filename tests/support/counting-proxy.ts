import { connect, createServer, type Socket } from 'node:net'
import {
  formatDatabaseUrl,
  parseDatabaseUrl,
  type ServerAddress,
} from '../../src/core/db/server-address.js'
import type { Environment } from './platform.js'

/** When to call back, and what the client is to see of the command then. */
export type Interruption = {
  /** Counted from 1, over all connections. */
  readonly command: number
  /** `before`: the server never gets it. `after`: the server has done it, and the client never hears so. */
  readonly when: 'before' | 'after'
  readonly act: () => void
}

const COM_QUIT = 1

/** Of the sessions that log in to one database: how many commands they sent, and when to call back. */
export type DatabaseCount = { count: number; interruption?: Interruption }

/**
 * Stands between a client and its database server and counts the commands (statements, switches of
 * users) that go through, so that a test can do something before or after any one of them.
 */
export class CountingProxy implements AsyncDisposable {
  /** Set before the client starts. */
  interruption: Interruption | undefined
  count = 0
  /** By database. */
  readonly inDatabase = new Map<string, DatabaseCount>()
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

  /** Counts a command. Returns what is to interrupt it. */
  #interruptionAt(own: DatabaseCount | undefined): Interruption | undefined {
    this.count += 1
    if (own) own.count += 1
    if (own?.interruption && own.interruption.command === own.count) return own.interruption
    return this.interruption?.command === this.count ? this.interruption : undefined
  }

  #carry(client: Socket, server: Socket): void {
    let pending = Buffer.alloc(0)
    let swallowing = false
    let answered: (() => void) | undefined
    let own: DatabaseCount | undefined
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
        // the login, which names the database and ends it with a zero
        if (packet[3] === 1)
          own ??= [...this.inDatabase].find(([name]) => packet.includes(`${name}\0`))?.[1]
        const cut = isCommand ? this.#interruptionAt(own) : undefined
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

/** The environment of a process that reaches its database server through a proxy. */
export function through({ port }: CountingProxy, environment: Environment): Environment {
  const { login } = parseDatabaseUrl(environment.VALIDONX_DATABASE_URL ?? '', {})
  return {
    ...environment,
    VALIDONX_DATABASE_URL: formatDatabaseUrl({ host: '127.0.0.1', port }, login),
  }
}
