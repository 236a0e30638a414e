import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts a process's time in hundredths of a second, on every architecture (`getconf CLK_TCK`). */
const TICKS = 100

/** Seconds of CPU that these processes have used so far, including their threads. Linux only. */
export function cpuSeconds(pids: readonly number[]): number {
  return sum(pids, (pid) => {
    const [userTicks, systemTicks] = statOf(pid).slice(11, 13).map(Number)
    return ((userTicks ?? 0) + (systemTicks ?? 0)) / TICKS
  })
}

/**
 * Seconds of CPU that a database server has used so far. PostgreSQL has a process for each connection: what the ended ones
 * used, their parent has in its own count. It is read last, so that a process that ends meanwhile is not missed.
 */
export function serverCpuSeconds(pid: number): number {
  const children = processTree(pid).filter((one) => one !== pid)
  return (
    sum(children, (child) => ticksOf(child, [11, 12])) + sum([pid], (one) => ticksOf(one, [11, 12, 13, 14]))
  )
}

/** Seconds in these fields of a process; 0 where it has ended. */
function ticksOf(pid: number, fields: readonly number[]): number {
  try {
    const stat = statOf(pid)
    return fields.reduce((total, field) => total + Number(stat[field]), 0) / TICKS
  } catch {
    return 0
  }
}

/** Resident memory of these processes in MiB; shared memory is counted for each process. */
export function residentMegabytes(pids: readonly number[]): number {
  return sum(pids, (pid) => {
    const [, kilobytes] = /^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return Number(kilobytes) / 1024
  })
}

/** The process and its children, for a server that forks workers. */
export function processTree(pid: number): number[] {
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
  return [pid, ...children.flatMap((child) => processTree(Number(child)))]
}

function parentOf(pid: string): number | null {
  try {
    return Number(statOf(pid)[1])
  } catch {
    return null // ended meanwhile
  }
}

/** The fields of /proc/PID/stat after the program's name, which may contain spaces: state, parent, … */
function statOf(pid: number | string): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function sum(pids: readonly number[], of: (pid: number) => number): number {
  return pids.reduce((total, pid) => total + of(pid), 0)
}
