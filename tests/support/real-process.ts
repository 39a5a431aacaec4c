import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Environment } from './platform.js'

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
const BIN = pathOf('../../bin/validonx.js')
const BUILT = pathOf('../../dist/src/cli/main.js')
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
const PAUSE = pathToFileURL(pathOf('./pause-at.mjs')).href

export type Exit = {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly said: string
}

/** A process of the machine. Disposed of, it is killed where it still lives, also one that is stopped. */
export class RealProcess implements AsyncDisposable {
  readonly ended: Promise<Exit>
  readonly #child: ChildProcess
  readonly #listeners = new Set<() => void>()
  #out = ''
  #said = ''
  #hasEnded = false

  constructor(args: readonly string[], environment: Environment) {
    const { PATH = '', HOME = '' } = process.env
    this.#child = spawn(process.execPath, [...args], {
      cwd: tmpdir(),
      env: { PATH, HOME, NO_COLOR: '1', ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child.stdin?.on('error', () => {})
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text
      this.#tell()
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text
      this.#tell()
    })
    this.ended = new Promise((done, fail) => {
      this.#child.once('error', fail)
      this.#child.once('close', (status, signal) => {
        this.#hasEnded = true
        this.#tell()
        done({ status, signal, out: this.#out, said: this.#said })
      })
    })
  }

  /** What it has printed on stdout so far. */
  get out(): string {
    return this.#out
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  write(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }

  /** The first line on stdout or stderr, from the one with that number on, that begins so. */
  async line(start: string, from = 0): Promise<string> {
    for (;;) {
      const lines = [...this.#out.split('\n').slice(0, -1), ...this.#said.split('\n').slice(0, -1)]
      const found = lines.filter((line) => line.startsWith(start))[from]
      if (found !== undefined) return found
      if (this.#hasEnded) throw new Error(`ended without "${start}": ${this.#out}${this.#said}`)
      await new Promise<void>((told) => this.#listeners.add(told))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end()
    if (!this.#hasEnded) this.#child.kill('SIGKILL')
    await this.ended.catch(() => undefined)
  }

  #tell(): void {
    const told = [...this.#listeners]
    this.#listeners.clear()
    for (const listener of told) listener()
  }
}

export type Interruption = {
  /** `<stage>/<point>` at which the process stops itself until SIGCONT. */
  readonly pauseAt?: string
}

/** `validonx …` as an operator runs it: the built program, in a process of its own. */
export function startCli(
  environment: Environment,
  argv: readonly string[],
  { pauseAt }: Interruption = {},
): RealProcess {
  if (!existsSync(BUILT)) throw new Error('there is no dist/: run "npm run build" first')
  return new RealProcess(['--import', PAUSE, BIN, ...argv], {
    ...environment,
    ...(pauseAt === undefined ? {} : { PAUSE_AT: pauseAt }),
  })
}

/** A script of tests/support in a process of its own. */
export const startScript = (environment: Environment, file: string): RealProcess =>
  new RealProcess(['--import', TSX, pathOf(file)], environment)
