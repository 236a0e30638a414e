import type { Project } from '../operations/open-project.ts'
import type { CommandContext } from './command.ts'

/**
 * Opens the project that the environment describes. What this needs is loaded only now, so that other commands do not load
 * it.
 * @throws {SettingsError} and as `openProject`
 */
export async function openGivenProject({ env }: Pick<CommandContext, 'env'>): Promise<Project> {
  const { readSettings } = await import('../service/settings/settings.ts')
  const { openProject } = await import('../operations/open-project.ts')
  return openProject(readSettings(env))
}
