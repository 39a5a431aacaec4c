type Waiter<Request, Grant> = {
  readonly request: Request
  readonly grant: (claimed: Promise<Grant>) => void
  readonly refuse: (error: Error) => void
  readonly joinedAt: number
  readonly timer: NodeJS.Timeout
}

/**
 * A fair waiting line: within a group first come, first served; between groups each gets one in
 * turn, so that a group with a thousand waiters delays a group with one by one place.
 */
export class WaitingLine<Request, Grant> {
  /** Groups in the order of their turn. */
  readonly #groups = new Map<string, Waiter<Request, Grant>[]>()
  #length = 0

  get length(): number {
    return this.#length
  }

  get isEmpty(): boolean {
    return this.#length === 0
  }

  has(group: string): boolean {
    return this.#groups.has(group)
  }

  join(group: string, request: Request, timeoutMs: number, tooLate: () => Error): Promise<Grant> {
    return new Promise<Grant>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#leave(group, waiter)
        reject(tooLate())
      }, timeoutMs)
      const waiter: Waiter<Request, Grant> = {
        request,
        grant: resolve,
        refuse: reject,
        joinedAt: performance.now(),
        timer,
      }
      const others = this.#groups.get(group)
      if (others) others.push(waiter)
      else this.#groups.set(group, [waiter])
      this.#length += 1
    })
  }

  /** Serves in turn until `claim`, which is told for how long each has waited, has nothing left for any group. */
  serve(claim: (request: Request, waitedMs: number) => Promise<Grant> | undefined): void {
    if (this.#length === 0) return
    const now = performance.now()
    let served = true
    while (served && this.#length > 0) {
      served = false
      for (const [group, waiters] of [...this.#groups]) {
        const first = waiters[0]
        const claimed = first && claim(first.request, now - first.joinedAt)
        if (!first || !claimed) continue
        served = true
        this.#leave(group, first)
        this.#toTheEnd(group)
        first.grant(claimed)
      }
    }
  }

  turnAway(group: string, why: () => Error): void {
    for (const waiter of [...(this.#groups.get(group) ?? [])]) {
      this.#leave(group, waiter)
      waiter.refuse(why())
    }
  }

  turnAwayAll(why: () => Error): void {
    for (const group of [...this.#groups.keys()]) this.turnAway(group, why)
  }

  #leave(group: string, waiter: Waiter<Request, Grant>): void {
    clearTimeout(waiter.timer)
    const waiters = this.#groups.get(group)
    const place = waiters?.indexOf(waiter) ?? -1
    if (!waiters || place < 0) return
    waiters.splice(place, 1)
    this.#length -= 1
    if (waiters.length === 0) this.#groups.delete(group)
  }

  #toTheEnd(group: string): void {
    const waiters = this.#groups.get(group)
    if (!waiters) return
    this.#groups.delete(group)
    this.#groups.set(group, waiters)
  }
}
