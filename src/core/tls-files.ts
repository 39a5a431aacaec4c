import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileBytes } from './env-file.js'
import { AppError } from './errors.js'

/** The PEM of a file without what is around it, or why there is none. Its content is never repeated. */
export type Pem = { readonly pem: string } | { readonly fault: string }

const CERTIFICATE = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[^-]+-----END \1-----/g
const KEY = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----/s

/** One or more certificates. */
export function readCertificates(path: string): Pem {
  const read = readText(path)
  if ('fault' in read) return read
  const blocks = [...read.text.matchAll(CERTIFICATE)].map(([block]) => block)
  return blocks.length > 0 && blocks.every(isCertificate)
    ? { pem: `${blocks.join('\n')}\n` }
    : { fault: 'names a file without a certificate in PEM form' }
}

/** One private key without a passphrase. */
export function readKey(path: string): Pem {
  const read = readText(path)
  if ('fault' in read) return read
  const [block = ''] = KEY.exec(read.text) ?? []
  if (block.includes('ENCRYPTED'))
    return {
      fault:
        'names a key that is protected by a passphrase: write it without one ("openssl pkey -in key.pem -out plain.pem"), readable by this user alone',
    }
  return isKey(block)
    ? { pem: `${block}\n` }
    : { fault: 'names a file without a private key in PEM form' }
}

/** @throws CONFIG.TLS_FILE if the file can't be used */
export function loadPem(path: string, read: (path: string) => Pem): string {
  const found = read(path)
  if ('fault' in found) throw new AppError('CONFIG.TLS_FILE', path, found.fault)
  return found.pem
}

export const faultIn = (pem: Pem): string | undefined => ('fault' in pem ? pem.fault : undefined)

/** Whether the key belongs to the first certificate. */
export function isPair(certificatePath: string, keyPath: string): boolean {
  const [certificate, key] = [readCertificates(certificatePath), readKey(keyPath)]
  if ('fault' in certificate || 'fault' in key) return false
  return new X509Certificate(certificate.pem).checkPrivateKey(createPrivateKey(key.pem))
}

/** In an encoding that takes every byte: the certificates that MySQL makes for itself end in a NUL. */
function readText(path: string): { readonly text: string } | { readonly fault: string } {
  if (path.includes('-----BEGIN'))
    return { fault: 'must be the path of a PEM file, not its content' }
  const read = readFileBytes(path) ?? { fault: 'does not exist' }
  return 'fault' in read
    ? { fault: `names a file that ${read.fault}` }
    : { text: read.bytes.toString('latin1') }
}

const isCertificate = (block: string): boolean => succeeds(() => new X509Certificate(block))
const isKey = (block: string): boolean => succeeds(() => createPrivateKey(block))

function succeeds(attempt: () => unknown): boolean {
  try {
    attempt()
    return true
  } catch {
    return false
  }
}
