import { existsSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'

/** A Python, and why this one was chosen. */
export interface FoundPython {
  readonly file: string
  readonly because: string
}

/** Folders in which virtual environments usually are: those of venv, virtualenv, uv, and Poetry and Pipenv in-project. */
const FOLDERS = ['.venv', 'venv', 'env', 'virtualenv', '.virtualenv', '.env']

/** Below a folder: on Unix, on Windows. */
const PROGRAMS = ['bin/python', 'bin/python3', 'Scripts/python.exe']

/** How many folders above manage.py are searched. */
const LEVELS = 4

/**
 * Returns the Python of a project: that of the active virtual environment, of one beside manage.py or in a folder above
 * it, of the active Conda environment, and else the first `python3` on PATH. Null without any.
 */
export function findPython(managePy: string, env: NodeJS.ProcessEnv): FoundPython | null {
  const candidates = [
    ...inEnvironment(env.VIRTUAL_ENV, 'VIRTUAL_ENV names its environment'),
    ...beside(managePy),
    ...inEnvironment(env.CONDA_PREFIX, 'CONDA_PREFIX names its environment'),
    ...onPath(env),
  ]
  return candidates.find(({ file }) => existsSync(file)) ?? null
}

function inEnvironment(folder: string | undefined, because: string): FoundPython[] {
  if (folder === undefined || folder === '') return []
  return PROGRAMS.map((program) => ({ file: join(folder, program), because }))
}

function beside(managePy: string): FoundPython[] {
  const found: FoundPython[] = []
  let folder = dirname(resolve(managePy))
  for (let level = 0; level <= LEVELS; level += 1) {
    for (const name of FOLDERS)
      found.push(...inEnvironment(join(folder, name), `the virtual environment is beside manage.py`))
    if (existsSync(join(folder, '.git'))) break // What is above belongs to another project.
    folder = dirname(folder)
  }
  return found
}

function onPath({ PATH = '' }: NodeJS.ProcessEnv): FoundPython[] {
  const folders = PATH.split(delimiter).filter((folder) => folder !== '')
  return ['python3', 'python', 'python.exe'].flatMap((name) =>
    folders.map((folder) => ({
      file: join(folder, name),
      because: 'no virtual environment was found beside manage.py',
    })),
  )
}
