import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectFolder } from './places.ts'

/** The options that `npm start` gives to Node. */
export function npmStartOptions(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8'))
  return String(scripts.start).match(/--\S+/g) ?? []
}
