import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'

export type Certificate = {
  readonly subject: string
  readonly pem: string
  /** The private key, PEM. */
  readonly key: string
  readonly privateKey: KeyObject
}

export type CertificateOptions = {
  /** Host names and IP addresses ("DNS:" makes an address a host name); a certificate without any has no list of names at all. */
  readonly names?: readonly string[]
  /** Without one it signs itself. */
  readonly issuer?: Certificate
  readonly isCa?: boolean
  readonly from?: Date
  readonly until?: Date
}

const DAY_MS = 86_400_000

/** Makes a certificate for an EC key, in a few milliseconds and without a program such as openssl. */
export function makeCertificate(
  subject: string,
  {
    names = [],
    issuer,
    isCa = false,
    from = new Date(Date.now() - DAY_MS),
    until = new Date(Date.now() + DAY_MS),
  }: CertificateOptions = {},
): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const extensions = [
    ...(isCa ? [extension('2.5.29.19', sequence(Buffer.from([0x01, 0x01, 0xff])))] : []),
    ...(names.length > 0 ? [extension('2.5.29.17', sequence(...names.map(alternative)))] : []),
  ]
  const signed = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ECDSA_SHA256,
    nameOf(issuer?.subject ?? subject),
    sequence(time(from), time(until)),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [der(0xa3, sequence(...extensions))] : []),
  )
  const signature = sign('sha256', signed, issuer?.privateKey ?? privateKey)
  const body = sequence(signed, ECDSA_SHA256, bits(signature)).toString('base64')
  return {
    subject,
    pem: `-----BEGIN CERTIFICATE-----\n${body.replace(/.{64}(?=.)/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    privateKey,
  }
}

/** One value of ASN.1's distinguished encoding. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size =
    length < 0x80
      ? [length]
      : length < 0x100
        ? [0x81, length]
        : [0x82, Math.floor(length / 0x100), length % 0x100]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts)
const integer = (bytes: Uint8Array): Buffer => der(0x02, bytes)
const bits = (bytes: Uint8Array): Buffer => der(0x03, Buffer.from([0]), bytes)
const time = (at: Date): Buffer =>
  der(0x18, Buffer.from(at.toISOString().replace(/[-:T]|\.\d+/g, '')))

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const base128 = (number: number): number[] =>
    number < 128 ? [number] : [...base128(number >> 7).map((byte) => byte | 128), number & 127]
  return der(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

const ECDSA_SHA256 = sequence(objectId('1.2.840.10045.4.3.2'))

const nameOf = (common: string): Buffer =>
  sequence(der(0x31, sequence(objectId('2.5.4.3'), der(0x0c, Buffer.from(common)))))

const extension = (id: string, value: Buffer): Buffer => sequence(objectId(id), der(0x04, value))

function alternative(name: string): Buffer {
  if (isIPv4(name)) return der(0x87, Buffer.from(name.split('.').map(Number)))
  return isIPv6(name) ? der(0x87, ipv6(name)) : der(0x82, Buffer.from(name.replace(/^DNS:/, '')))
}

function ipv6(text: string): Buffer {
  const [head = '', tail] = text.split('::')
  const groups = (part: string | undefined) => (part ? part.split(':') : [])
  const [before, after] = [groups(head), groups(tail)]
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0')
  return Buffer.from(
    [...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join(''),
    'hex',
  )
}
