import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** TypeScript files under the named folders, as paths from the root. */
export async function sourceFiles(...folders: readonly string[]): Promise<string[]> {
  const found = []
  for (const folder of folders) {
    const entries = await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true })
    for (const entry of entries) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
      found.push(join(entry.parentPath, entry.name).slice(ROOT.length))
    }
  }
  return found.sort()
}
