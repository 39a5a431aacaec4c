import type { Command } from 'commander'

export type TlsOptions = {
  readonly tls?: string
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

/** Adds the options for the TLS settings of a database server. */
export const withTlsOptions = (command: Command): Command =>
  command
    .option('--tls <level>', 'verify, verify-ca or off (default: VALIDONX_DATABASE_TLS)')
    .option('--ca <file>', 'file with its CA certificates (default: VALIDONX_DATABASE_CA)')
    .option('--cert <file>', 'file with our certificate (default: VALIDONX_DATABASE_CERT)')
    .option(
      '--key <file>',
      'file with the key of that certificate (default: VALIDONX_DATABASE_KEY)',
    )
