import { join } from 'node:path'
import { execute } from './executables.ts'
import { projectFolder } from './places.ts'

/** The service in one file, as `npm run build` makes it, in a folder two levels below the project. Returns its `main.js`. */
export async function bundleService(folder: string): Promise<string> {
  await execute(process.execPath, [join(projectFolder, 'tools/bundle.ts'), folder], { cwd: projectFolder })
  return join(folder, 'main.js')
}
