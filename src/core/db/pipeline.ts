import type { Duplex } from 'node:stream'
import type { Connection, QueryResult } from 'mysql2'

/** What the driver does with a statement: `start` sends it, and returns what reads the answer. */
type Command = { start(packet: undefined, connection: Driver): unknown }

/** Parts of the driver that its types leave out. */
type Driver = {
  readonly stream: Duplex
  /** The statement that is being answered. */
  readonly _command: Command | null
  /** Number of the next packet; it begins at 0 with each statement. */
  sequenceId: number
}

export type Statement = { readonly sql: string; readonly values?: readonly unknown[] }

/**
 * Sends several statements in one write, so that together they cost one round trip: the driver itself sends
 * each when the one before is answered. The server answers them in order, and goes on if it refuses one.
 */
export function runTogether(
  connection: Connection,
  statements: readonly Statement[],
): Promise<QueryResult>[] {
  const driver = connection as unknown as Driver
  driver.stream.cork()
  try {
    const sent = statements.map((statement) => send(connection, statement))
    const [first, ...rest] = sent
    // they wait in line unless the connection was busy or is closed: then each is sent in its turn
    if (first && driver._command === first.command)
      for (const { command } of rest) sendNow(driver, command)
    return sent.map(({ answer }) => answer)
  } finally {
    driver.stream.uncork()
  }
}

function send(
  connection: Connection,
  { sql, values = [] }: Statement,
): { readonly command: Command; readonly answer: Promise<QueryResult> } {
  let command: unknown
  const answer = new Promise<QueryResult>((done, fail) => {
    command = connection.query<QueryResult>(sql, values as unknown[], (error, result) =>
      error ? fail(error) : done(result),
    )
  })
  return { command: command as Command, answer }
}

function sendNow(driver: Driver, command: Command): void {
  const expected = driver.sequenceId
  driver.sequenceId = 0
  const readAnswer = command.start(undefined, driver)
  driver.sequenceId = expected
  command.start = () => {
    driver.sequenceId = 1
    return readAnswer
  }
}
