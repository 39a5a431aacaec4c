import { resolve } from 'node:path'
import { settings } from '../config.js'
import type { TlsSettings } from '../db/tls.js'
import { isPair } from '../tls-files.js'

/** Paths are kept as absolute ones: every process that reaches the server needs the files there. */
const absolute = (path: string | undefined) => path && resolve(path)

/** What a server has instead of VALIDONX_DATABASE_TLS, _CA, _CERT and _KEY. */
export const tlsFields = {
  tls: settings.databaseTls.schema,
  ca: settings.databaseCa.schema.transform(absolute),
  cert: settings.databaseCert.schema.transform(absolute),
  key: settings.databaseKey.schema.transform(absolute),
}

type TlsInput = {
  readonly tls?: TlsSettings['databaseTls']
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

type Check = {
  addIssue(issue: { code: 'custom'; path: string[]; message: string }): void
}

/** A certificate is of use with its own key only. */
export function checkTlsFields({ cert, key }: TlsInput, check: Check): void {
  const refuse = (field: string, message: string) =>
    check.addIssue({ code: 'custom', path: [field], message })
  if (cert === undefined && key === undefined) return
  if (cert === undefined) refuse('cert', 'must be given together with its key')
  else if (key === undefined) refuse('key', 'must be given together with its certificate')
  else if (!isPair(cert, key)) refuse('key', 'is not the key of the certificate')
}

export const toTlsSettings = ({ tls, ca, cert, key }: TlsInput): TlsSettings => ({
  databaseTls: tls,
  databaseCa: ca,
  databaseCert: cert,
  databaseKey: key,
})

/** The columns of `database_servers`. */
export const toTlsColumns = ({ tls, ca, cert, key }: TlsInput) => ({
  tls_level: tls ?? null,
  tls_ca_file: ca ?? null,
  tls_cert_file: cert ?? null,
  tls_key_file: key ?? null,
})
