import { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { anyCaseId } from '../../src/cli/command.js'
import { readCount, readPast } from '../../src/cli/durations.js'
import { detailsAtTerminal, setFieldNames } from '../../src/cli/field-names.js'
import { createProgram } from '../../src/cli/program.js'
import type { Runtime } from '../../src/cli/runtime.js'
import { AppError } from '../../src/core/errors.js'
import { runCli } from '../support/run-cli.js'

const leavesOf = (command: Command, path: readonly string[] = []): [string[], Command][] =>
  command.commands.length === 0
    ? [[[...path], command]]
    : command.commands.flatMap((child) => leavesOf(child, [...path, child.name()]))

const LEAVES = leavesOf(createProgram({ stdout: {}, stderr: {} } as unknown as Runtime, () => {}))

test('every option of every command refuses an empty value before anything is done', async () => {
  for (const [path, command] of LEAVES) {
    const args = command.registeredArguments.filter(({ required }) => required).map(() => 'x')
    for (const { long, flags } of command.options.filter((each) => /[<[]/.test(each.flags))) {
      const others = command.options
        .filter((each) => each.mandatory && each.long !== long)
        .flatMap((each) => [each.long ?? '', 'x'])

      // a setting that no command gets past, if it reads the settings
      const run = await runCli({ VALIDONX_PORT: 'none' }, [...path, ...args, ...others, `${long}=`])

      const line = `${path.join(' ')} ${flags}`
      expect([run.exit, run.out], line).toEqual([64, ''])
      expect(run.said, line).toContain(`${long} is empty`)
    }
  }
})

const detailsOf = (work: () => unknown): unknown => {
  try {
    return work()
  } catch (error) {
    return (error as AppError).details
  }
}

describe('a time in the past', () => {
  const now = new Date('2026-11-25T12:00:00Z')

  test.for(['999999999d', '900000d', '99999999h'])('is refused before 1970: %s', (text) => {
    expect(detailsOf(() => readPast(text, '--before', now))).toEqual({
      '--before': ['must not go back before 1970'],
    })
  })

  test('may be as early as 1970', () => {
    expect(readPast('20782d', '--since', now).toISOString()).toBe('1970-01-01T12:00:00.000Z')
  })
})

test('a count that is too high names the most', () => {
  expect(() => readCount('99999999999', '--limit', 1, 500)).toThrow(
    '--limit "99999999999" is not a whole number from 1 to 500.',
  )
})

describe('field names', () => {
  const command = new Command('x').option('--limit <count>').option('--name <name>')
  setFieldNames(command, { requests: '--limit', periodSeconds: '--limit' })

  test('keep the messages of each field that one option sets', () => {
    expect(
      detailsAtTerminal(command, { requests: ['is too low'], periodSeconds: ['is too long'] }),
    ).toEqual({ '--limit': ['is too low', 'is too long'] })
  })

  test('blame only options with characters beyond ASCII, not those with a space', () => {
    command.parse(['--limit', 'a b', '--name', 'ü'], { from: 'user' })

    expect(detailsAtTerminal(command, { value: ['has a character'] })).toEqual({
      '--name': ['has a character'],
    })
  })
})

test.for([
  ['01A20A16-E903-7073-8D90-840262D70CF5', '01a20a16-e903-7073-8d90-840262d70cf5'],
  ['9F31C2A0D4E7', '9f31c2a0d4e7'],
  ['INV-2026-000001', 'INV-2026-000001'],
])('an ID is read in either case: %s', ([typed, id]) => {
  expect(anyCaseId(typed as string)).toBe(id)
})

test('a question that nobody can confirm is quoted without nested quotes', () => {
  const error = new AppError(
    'USAGE.CONFIRMATION_NEEDED',
    'End API key "vx_H4RQGC" at once?',
    '--yes',
  )

  expect(error.message).toMatch(/^End API key "vx_H4RQGC" at once\? Nobody can confirm this here/)
})
