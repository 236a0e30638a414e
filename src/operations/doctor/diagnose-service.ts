import type { Storage } from '../../service/open-storage.ts'
import type { Settings } from '../../service/settings/settings.ts'
import { openProject } from '../open-project.ts'
import { examine } from './examine.ts'

/** The problems that the cheap checks find on the databases of the running service. */
export async function diagnoseService(
  settings: Settings,
  { storage, signal }: { storage: Storage; signal: AbortSignal },
): Promise<{ id: string; level: 'error' | 'warning'; title: string; read: string; hint: string }[]> {
  const project = await openProject(settings, { storage })
  const evidence = { project, django: null, roundTrip: null, signal }
  const findings = await examine({ evidence, cheapOnly: true })
  return findings.flatMap(({ id, level, title, result }) =>
    result.outcome === 'failed' && level !== 'info'
      ? [{ id, level, title, read: result.read, hint: result.hint }]
      : [],
  )
}
