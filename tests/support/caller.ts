import { Agent, type IncomingHttpHeaders, request } from 'node:http'

/** An answer of the Integration API, as far as tests look into it. */
export type Answer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: {
    readonly data?: {
      readonly activation?: { readonly id: string }
      readonly usage_event?: { readonly id: string }
      readonly valid?: boolean
    }
    readonly error?: {
      readonly code: string
      readonly details: Readonly<Record<string, unknown>>
    }
  }
}

export type Call = {
  readonly apiKey: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** A client with kept-alive connections, for many requests at once: each server gets so many. */
export class Caller implements Disposable {
  readonly #agent: Agent

  constructor(maxSockets: number) {
    this.#agent = new Agent({ keepAlive: true, maxSockets })
  }

  post(url: string, { apiKey, body, headers = {} }: Call): Promise<Answer> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    return new Promise((done, fail) => {
      const sending = request(
        url,
        {
          method: 'POST',
          agent: this.#agent,
          headers: {
            'X-API-Key': apiKey,
            ...(text === undefined
              ? {}
              : {
                  'Content-Type': 'application/json',
                  'Content-Length': String(Buffer.byteLength(text)),
                }),
            ...headers,
          },
        },
        (response) => {
          let answer = ''
          response.setEncoding('utf8')
          response.on('data', (chunk: string) => {
            answer += chunk
          })
          response.on('error', fail)
          response.on('end', () => {
            try {
              done({
                status: response.statusCode ?? 0,
                headers: response.headers,
                body: JSON.parse(answer),
              })
            } catch (error) {
              fail(error)
            }
          })
        },
      )
      sending.on('error', fail)
      sending.end(text)
    })
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }
}
