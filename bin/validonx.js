#!/usr/bin/env node
import nodeModule from 'node:module'

// Node 22 and later keep what they have compiled
nodeModule.enableCompileCache?.()

const { main, processRuntime } = await import('../dist/src/cli/main.js')

// a reader that has seen enough (head, less) closes the pipe: no reason for a stack
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if (error.code !== 'EPIPE') throw error
  })
}

await main(process.argv.slice(2), processRuntime())
