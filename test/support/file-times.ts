import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { projectFolder } from './places.ts'

interface FileTime {
  readonly file: string
  /** Seconds from the start of the file's process to its end. */
  readonly wall: number
  /** Seconds of CPU, with the processes that the file started and that have ended; null where Linux does not tell. */
  readonly cpu: number | null
}

/** Appends how long a test file took to a file of JSON lines, when its process ends. */
export function recordFileTime(testFile: string, times: string): void {
  process.once('exit', () => {
    const file = relative(projectFolder, fileURLToPath(testFile))
    const time: FileTime = { file, wall: process.uptime(), cpu: cpuTime() }
    appendFileSync(times, `${JSON.stringify(time)}\n`)
  })
}

/** Lines on the ten files that took longest; none when there were fewer than two. */
export function slowestFiles(times: string): string[] {
  const all = existsSync(times)
    ? readFileSync(times, 'utf8')
        .trim()
        .split('\n')
        .map((line): FileTime => JSON.parse(line))
    : []
  if (all.length < 2) return []
  const slowest = all.toSorted((a, b) => b.wall - a.wall).slice(0, 10)
  return [
    `the slowest of ${all.length} files, in seconds:`,
    ...slowest.map(
      ({ file, wall, cpu }) =>
        `${wall.toFixed(1).padStart(6)}  ${file}${cpu === null ? '' : ` (CPU ${cpu.toFixed(1)})`}`,
    ),
  ]
}

/** utime, stime, cutime and cstime of proc_pid_stat(5), in hundredths of a second; the name before them may hold anything. */
function cpuTime(): number | null {
  if (process.platform !== 'linux') return null
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field) / 100, 0)
}
