import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readTextFile } from './env-file.js'

const BLOCK =
  /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]+-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g

/** What is wrong with a file of certificates (PEM), or undefined. */
export function faultOfCertificates(path: string): string | undefined {
  const read = readPem(path)
  if ('fault' in read) return read.fault
  return certificatesIn(read.text) ? undefined : 'names a file without a certificate in PEM form'
}

/** What is wrong with the file of a private key (PEM), or undefined. Its content is never repeated. */
export function faultOfKey(path: string): string | undefined {
  const read = readPem(path)
  if ('fault' in read) return read.fault
  if (/ENCRYPTED/.test(read.text))
    return 'names a key that is protected by a passphrase: write it without one ("openssl pkey -in key.pem -out plain.pem"), readable by this user alone'
  return keyIn(read.text) ? undefined : 'names a file without a private key in PEM form'
}

/** Whether the key belongs to the first certificate. Both files must be without a fault. */
export function isPair(certificatePath: string, keyPath: string): boolean {
  const [certificate, key] = [readPem(certificatePath), readPem(keyPath)]
  if ('fault' in certificate || 'fault' in key) return false
  const privateKey = keyIn(key.text)
  const [first] = certificatesIn(certificate.text) ?? []
  return privateKey !== undefined && first?.checkPrivateKey(privateKey) === true
}

export function readPem(path: string): { readonly text: string } | { readonly fault: string } {
  if (path.includes('-----BEGIN'))
    return { fault: 'must be the path of a PEM file, not its content' }
  const read = readTextFile(path) ?? { fault: 'does not exist' }
  if ('text' in read) return read
  // DER and PKCS #12 are binary
  return { fault: `names a file that ${/UTF/.test(read.fault) ? 'is not PEM text' : read.fault}` }
}

function certificatesIn(text: string): X509Certificate[] | undefined {
  try {
    const found = [...text.matchAll(BLOCK)].map(([block]) => new X509Certificate(block))
    return found.length > 0 ? found : undefined
  } catch {
    return undefined
  }
}

function keyIn(text: string): KeyObject | undefined {
  try {
    return createPrivateKey(text)
  } catch {
    return undefined
  }
}
