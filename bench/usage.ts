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
