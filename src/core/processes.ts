import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** Whether a process with that id runs on this machine, whoever owns it. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * One run of a process. A pid alone doesn't identify it: pids are reused, soon after a reboot and always in
 * containers, and another container counts its own.
 */
export type ProcessRun = {
  readonly pid: number
  /** The running kernel and pid namespace, else the host name. */
  readonly machine: string
  readonly started: string
}

/** The run that has this pid now; undefined if no process has it. A zombie has ended. */
export function runOf(pid: number): ProcessRun | undefined {
  if (!isProcessAlive(pid)) return undefined
  const started = startOf(pid)
  if (started === undefined) return undefined
  return { pid, machine: kernelId() ?? hostname(), started }
}

/** `elsewhere` if it was started on another machine, in another container or before a reboot. */
export function stateOf(run: ProcessRun): 'alive' | 'ended' | 'elsewhere' {
  if (run.machine !== (kernelId() ?? hostname())) return 'elsewhere'
  return runOf(run.pid)?.started === run.started ? 'alive' : 'ended'
}

/** The running kernel and process-id space, where it can be told: only there does a pid mean anything. */
export function kernelId(): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot}/${readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')}`
  } catch {
    return undefined
  }
}

function startOf(pid: number): string | undefined {
  try {
    if (!existsSync('/proc/self/stat'))
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // the program's name may hold blanks and brackets, so count from its end: state first, start time 20th
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}
