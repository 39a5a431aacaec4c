import type { Readable, Writable } from 'node:stream'
import { styleText } from 'node:util'
import Table from 'cli-table3'
import { AppError } from '../core/errors.js'
import { printable, printableLayout } from '../core/printable.js'
import type { OwnStream } from './output.js'

export type Streams = {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: OwnStream
  readonly stderr: OwnStream
}

export type Column<Row> = {
  readonly title: string
  readonly value: (row: Row) => string
}

type Style = Parameters<typeof styleText>[0]

/**
 * The person's side of a command. Results go to stdout, as a table or, with `--json`, one object a
 * line; talk goes to stderr. Nothing is asked unless somebody is there to answer.
 */
export class Terminal {
  readonly json: boolean
  readonly #streams: Streams
  readonly #colors: boolean
  #liveLines = 0

  constructor(
    streams: Streams,
    {
      json,
      environment,
    }: { json: boolean; environment: Readonly<Record<string, string | undefined>> },
  ) {
    this.#streams = streams
    this.json = json
    const wanted = !environment.NO_COLOR && environment.TERM !== 'dumb'
    this.#colors = wanted && streams.stderr.isTTY === true
  }

  /** Whether a question would reach a person. */
  get canAsk(): boolean {
    return this.#streams.stdin.isTTY === true && this.#streams.stderr.isTTY === true
  }

  /** A result. Resolves when it has left this process. @throws OUTPUT.NOT_WRITTEN, ReaderLeft */
  async result(text: string): Promise<void> {
    this.#endLiveLine()
    // a file or a pipe gets what a command was asked for, byte by byte
    const isShown = this.json || this.#streams.stdout.isTTY === true
    await write(this.#streams.stdout, `${isShown ? printableLayout(text) : text}\n`)
  }

  /** A result that goes with those on stdout and isn't one of their rows. @throws as `result` does */
  async appendix(text: string): Promise<void> {
    this.#endLiveLine()
    await write(this.#streams.stderr, `${printableLayout(text)}\n`)
  }

  /**
   * A secret that can't be shown again: `what` is revoked if it doesn't leave this process.
   *
   * @throws OUTPUT.SECRET_NOT_SHOWN
   */
  async secret(what: string, object: unknown, text: () => string): Promise<void> {
    if (this.#streams.stdout.isDiscarded)
      throw new AppError('OUTPUT.SECRET_NOT_SHOWN', what, 'it is closed or discarded')
    try {
      await this.record(object, text)
    } catch (error) {
      const reason = error instanceof ReaderLeft ? 'its reader has left' : reasonOf(error)
      throw new AppError('OUTPUT.SECRET_NOT_SHOWN', what, reason).because(error)
    }
  }

  /** A result as one object: itself with `--json`, else what `text` makes of it. */
  record(object: unknown, text: () => string): Promise<void> {
    return this.result(this.json ? JSON.stringify(object) : text())
  }

  /** Results as a table, or as one JSON object a line. */
  async rows<Row>(
    rows: readonly Row[],
    columns: readonly Column<Row>[],
    toJson: (row: Row) => unknown,
  ): Promise<void> {
    if (this.json) {
      if (rows.length > 0)
        await this.result(rows.map((row) => JSON.stringify(toJson(row))).join('\n'))
      return
    }
    await this.result(
      formatTable(
        columns.map(({ title }) => title),
        rows.map((row) => columns.map(({ value }) => value(row))),
      ),
    )
  }

  /** Talk: what happens, and what to do next. */
  note(text: string): void {
    this.#endLiveLine()
    this.#streams.stderr.write(`${printableLayout(text)}\n`)
  }

  /** Talk that is of no use to a machine. */
  remark(text: string): void {
    if (!this.json) this.note(text)
  }

  /** Which platform a command works on: a wrong folder or a missing setting must show at once. */
  platform(name: string, isStarted = false): void {
    this.remark(this.style('dim', `platform ${name}${isStarted ? ' (started)' : ''}`))
  }

  /** Whether somebody watches: what changes by the second is for them alone. */
  get isWatched(): boolean {
    return !this.json && this.#streams.stderr.isTTY === true
  }

  /** The width of the terminal in characters. */
  get columns(): number {
    return this.#streams.stderr.columns ?? 80
  }

  /** Lines that the next ones overwrite, cut at the terminal's width; nothing where stderr is no terminal. */
  live(...lines: readonly string[]): void {
    if (!this.isWatched) return
    this.#endLiveLine()
    this.#streams.stderr.write(
      lines.map((line) => printableLayout(line.slice(0, this.columns - 1))).join('\n'),
    )
    this.#liveLines = lines.length
  }

  style(style: Style, text: string): string {
    // whether there are colours is decided above, for these streams
    return this.#colors ? styleText(style, text, { validateStream: false }) : text
  }

  /** @throws USAGE.CONFIRMATION_NEEDED where nobody can answer */
  async confirm(question: string, flag: string): Promise<boolean> {
    if (!this.canAsk) throw new AppError('USAGE.CONFIRMATION_NEEDED', question, flag)
    this.#endLiveLine()
    const { confirm } = await import('@inquirer/prompts')
    return confirm({ message: printable(question), default: false }, this.#promptStreams())
  }

  async ask(question: string, fallback: string): Promise<string> {
    this.#endLiveLine()
    const { input } = await import('@inquirer/prompts')
    return input({ message: question, default: fallback }, this.#promptStreams())
  }

  async askSecret(question: string): Promise<string> {
    this.#endLiveLine()
    const { password } = await import('@inquirer/prompts')
    return password({ message: question, mask: true }, this.#promptStreams())
  }

  async choose(
    question: string,
    choices: readonly { readonly value: string; readonly name: string }[],
  ): Promise<string> {
    this.#endLiveLine()
    const { select } = await import('@inquirer/prompts')
    return select({ message: question, choices: [...choices] }, this.#promptStreams())
  }

  /** Questions are talk: on stderr, so that a redirected stdout holds results alone. */
  #promptStreams(): { input: NodeJS.ReadableStream; output: NodeJS.WritableStream } {
    return { input: this.#streams.stdin, output: this.#streams.stderr }
  }

  #endLiveLine(): void {
    if (this.#liveLines === 0) return
    this.#streams.stderr.write(`\r\u001b[2K${'\u001b[1A\u001b[2K'.repeat(this.#liveLines - 1)}`)
    this.#liveLines = 0
  }
}

/** Whoever read the results has left before their end, as `head` does. */
export class ReaderLeft extends Error {
  override readonly name = 'ReaderLeft'
}

/** Resolves when the text has left this process. @throws OUTPUT.NOT_WRITTEN, ReaderLeft */
export const write = (stream: Writable, text: string): Promise<void> =>
  new Promise((done, fail) => {
    stream.write(text, (error) => {
      if (!error) done()
      else if ((error as NodeJS.ErrnoException).code === 'EPIPE') fail(new ReaderLeft())
      else fail(new AppError('OUTPUT.NOT_WRITTEN', reasonOf(error)).because(error))
    })
  })

/** `ENOSPC: no space left on device, write` without the system call. */
const reasonOf = (error: unknown): string => {
  const cause = error instanceof AppError ? error.cause : error
  return cause instanceof Error ? cause.message.replace(/, \w+$/, '') : String(cause)
}

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
}

/** Columns side by side under their titles, without borders: it survives copying and 80 columns. */
export function formatTable(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  { keepLines = false }: { readonly keepLines?: boolean } = {},
): string {
  const cell = keepLines ? (text: string) => text.split('\n').map(printable).join('\n') : printable
  const table = new Table({
    chars: NO_BORDERS,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  })
  table.push(
    titles.map((title) => title.toUpperCase()),
    ...rows.map((row) => row.map(cell)),
  )
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

/** `label  value` lines, labels aligned. */
export function formatFields(fields: readonly (readonly [string, string | undefined])[]): string {
  const shown = fields.filter(
    (field): field is readonly [string, string] => field[1] !== undefined && field[1] !== '',
  )
  const width = Math.max(...shown.map(([label]) => label.length))
  return shown.map(([label, value]) => `${label.padEnd(width)}  ${printable(value)}`).join('\n')
}
