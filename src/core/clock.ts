/** Tells the time. Verbs take theirs from the context, so that tests can hold it still. */
export type Clock = () => Date

export const systemClock: Clock = () => new Date()

export const addMilliseconds = (time: Date, milliseconds: number): Date =>
  new Date(time.getTime() + milliseconds)
