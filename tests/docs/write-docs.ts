import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ROOT } from '../support/source-files.js'
import {
  commandsBlock,
  demoBlock,
  eventsBlock,
  rolesBlock,
  settingsBlock,
  writeBlock,
} from './generated.js'

/** `npm run docs`: writes what the program itself knows into the pages. Needs a build. */
const readme = join(ROOT, 'README.md')
const page = await readFile(readme, 'utf8')
await writeFile(
  readme,
  writeBlock(writeBlock(page, 'demo', await demoBlock()), 'commands', commandsBlock()),
)

const configuration = join(ROOT, 'docs/configuration.md')
await writeFile(
  configuration,
  writeBlock(await readFile(configuration, 'utf8'), 'settings', settingsBlock()),
)

const roles = join(ROOT, 'docs/roles.md')
await writeFile(roles, writeBlock(await readFile(roles, 'utf8'), 'roles', rolesBlock()))

const events = join(ROOT, 'docs/events.md')
await writeFile(events, writeBlock(await readFile(events, 'utf8'), 'events', eventsBlock()))
