#!/usr/bin/env node
import nodeModule from 'node:module'

// Node 22 and later keep what they have compiled
nodeModule.enableCompileCache?.()

const { main, processRuntime } = await import('../dist/src/cli/main.js')

await main(process.argv.slice(2), processRuntime())
