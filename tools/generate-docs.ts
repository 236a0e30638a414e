// `npm run docs`: writes the pages that are generated from the source. test/docs/generated.test.ts fails when one is stale.
import { writeFileSync } from 'node:fs'
import { apiPage } from './docs/api-page.ts'
import { doctorPage } from './docs/doctor-page.ts'
import { errorsPage } from './docs/errors-page.ts'
import { explainPage } from './docs/explain-page.ts'
import { llmsText } from './docs/llms.ts'
import { logEventsPage } from './docs/log-events-page.ts'
import { envExample, settingsPage } from './docs/settings-pages.ts'

/** The text of each generated file, by its path in the project. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const llms = llmsText()
  return new Map([
    ['.env.example', envExample()],
    ['docs/settings.md', settingsPage()],
    ['docs/api.md', apiPage()],
    ['docs/errors.md', errorsPage()],
    ['docs/doctor.md', doctorPage()],
    ['docs/explain.md', explainPage()],
    ['docs/log-events.md', logEventsPage()],
    ...(llms === null ? [] : [['llms.txt', llms] as const]),
  ])
}

if (import.meta.main) {
  for (const [path, text] of generatedFiles()) writeFileSync(new URL(`../${path}`, import.meta.url), text)
}
