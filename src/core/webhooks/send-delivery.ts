import { lookup as systemLookup } from 'node:dns'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { isPublicAddress } from './public-address.js'

/** The error of a delivery whose address `isPublicAddress` refuses. */
export const NOT_PUBLIC = 'the address is not public'

/** How long a receiver has for its answer. */
const TIMEOUT_MS = 15_000
const USER_AGENT = 'ValidonX-Webhooks/1'

/** What came of an attempt. */
export type Sent =
  | { readonly status: number; readonly retryAfter: string | undefined }
  | { readonly error: string }

export type SendOptions = {
  /** Ranges beyond the open Internet that the operator allows. */
  readonly allowed: readonly string[]
  /** Asks for the addresses of a name; tests pass their own. */
  readonly resolve?: LookupFunction
  readonly timeoutMs?: number
  /** CA certificates to trust instead of those of Node.js; tests pass their own. */
  readonly ca?: string
}

/**
 * Posts a payload, and follows no redirect. The addresses are looked at after the name was resolved, and those very
 * addresses are connected to: a name that answers otherwise the second time gains nothing.
 */
export function sendDelivery(
  target: string,
  payload: string,
  headers: Readonly<Record<string, string>>,
  { allowed, resolve = systemLookup as LookupFunction, timeoutMs = TIMEOUT_MS, ca }: SendOptions,
): Promise<Sent> {
  const url = new URL(target)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) && !isPublicAddress(host, allowed)) return Promise.resolve({ error: NOT_PUBLIC })
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return Promise.resolve({ error: 'the URL is no https URL' })
  return new Promise((done) => {
    const send = url.protocol === 'http:' ? httpRequest : httpsRequest
    const sending = send(
      url,
      {
        method: 'POST',
        agent: false,
        rejectUnauthorized: true,
        ...(ca === undefined ? {} : { ca }),
        headers: {
          ...headers,
          'Content-Type': 'application/json; charset=utf-8',
          'Content-Length': Buffer.byteLength(payload),
          'User-Agent': USER_AGENT,
        },
        lookup: guarded(resolve, allowed),
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response: IncomingMessage) => {
        // what it says beside its status is of no interest, however much it is
        done({
          status: response.statusCode ?? 0,
          retryAfter: response.headers['retry-after'],
        })
        response.destroy()
      },
    )
    sending.on('error', (error: NodeJS.ErrnoException) =>
      done({ error: error.code === 'ABORT_ERR' ? 'no answer in time' : reasonOf(error) }),
    )
    sending.end(payload)
  })
}

/** Gives the connection those of the name's addresses that are public, or none. */
const guarded =
  (resolve: LookupFunction, allowed: readonly string[]): LookupFunction =>
  (hostname, options, callback) =>
    resolve(hostname, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, [])
      const addresses = Array.isArray(found) ? found : [{ address: found, family: isIP(found) }]
      let open: typeof addresses
      try {
        open = addresses.filter(({ address }) => isPublicAddress(address, allowed))
      } catch (thrown) {
        // outside of any promise: thrown further, it would end the process
        return callback(thrown as Error, [])
      }
      const [first] = open
      if (!first) return callback(new Error(NOT_PUBLIC), [])
      if (options.all) callback(null, open)
      else callback(null, first.address, first.family)
    })

const reasonOf = ({ code, message }: NodeJS.ErrnoException): string =>
  (code ?? message).slice(0, 200)
