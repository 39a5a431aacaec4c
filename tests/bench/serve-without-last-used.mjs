// The real program with its notes of last uses taken out: what remains is what they cost.

import { main, processRuntime } from '../../dist/src/cli/main.js'
import { LastUsed } from '../../dist/src/core/access/last-used.js'

LastUsed.prototype.apiKey = () => {}
LastUsed.prototype.license = () => {}

await main(process.argv.slice(2), processRuntime())
