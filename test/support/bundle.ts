import { join } from 'node:path'
import { execute } from './executables.ts'
import { projectFolder } from './places.ts'

/**
 * The service in one file, in a folder two levels below the project: as `npm run build` makes it, or `small`, as it is
 * published. Returns its `main.js`.
 */
export async function bundleService(folder: string, { small = false } = {}): Promise<string> {
  const args = [join(projectFolder, 'tools/bundle.ts'), ...(small ? ['--small'] : []), folder]
  await execute(process.execPath, args, { cwd: projectFolder })
  return join(folder, 'main.js')
}
