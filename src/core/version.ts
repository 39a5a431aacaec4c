import { existsSync, readFileSync } from 'node:fs'

/** The package's version. Compiled files lie one folder deeper than sources. */
export const version = readVersion(['../../package.json', '../../../package.json'])

function readVersion(paths: readonly string[]): string {
  for (const path of paths) {
    const url = new URL(path, import.meta.url)
    if (existsSync(url))
      return (JSON.parse(readFileSync(url, 'utf8')) as { version: string }).version
  }
  return '0.0.0'
}
