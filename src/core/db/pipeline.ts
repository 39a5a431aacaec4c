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

/**
 * Sends two statements in one write, so that both cost one round trip: the driver itself sends the
 * second when the first is answered. The server answers them in order, the second even if it refuses
 * the first.
 */
export function runBoth<Result extends QueryResult>(
  connection: Connection,
  first: string,
  second: string,
  values: readonly unknown[],
): readonly [Promise<unknown>, Promise<Result>] {
  const driver = connection as unknown as Driver
  driver.stream.cork()
  try {
    const [ahead, aheadAnswer] = send(connection, first, [])
    const [behind, behindAnswer] = send<Result>(connection, second, values)
    // it waits in line unless the connection was busy or is closed: then it's sent in its turn
    if (driver._command === ahead) sendNow(driver, behind)
    return [aheadAnswer, behindAnswer]
  } finally {
    driver.stream.uncork()
  }
}

function send<Result extends QueryResult>(
  connection: Connection,
  sql: string,
  values: readonly unknown[],
): readonly [Command, Promise<Result>] {
  let command: unknown
  const answer = new Promise<Result>((done, fail) => {
    command = connection.query<Result>(sql, values as unknown[], (error, result) =>
      error ? fail(error) : done(result),
    )
  })
  return [command as Command, answer]
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
