import { TAGS } from '../../src/operations/doctor/check.ts'
import { CHECKS } from '../../src/operations/doctor/checks.ts'
import { levelOf } from '../../src/operations/doctor/examine.ts'
import { generatedFrom } from './markdown.ts'

/** docs/doctor.md: a section for each check. */
export function doctorPage(): string {
  const groups = TAGS.filter((tag) => CHECKS.some(({ id }) => id.startsWith(`${tag}.`))).map((tag) => {
    const checks = CHECKS.filter(({ id }) => id.startsWith(`${tag}.`))
    return `## ${tag}\n\n${checks.map(section).join('\n')}`
  })
  return `${generatedFrom('src/operations/doctor/')}\n# The doctor\n\n${INTRODUCTION}\n\n${groups.join('\n')}`
}

const INTRODUCTION = `\`koa-django-sessions doctor\` reads the settings, the database and, where it is told to, Django itself, and says whether
sessions are shared; if not, why, and what to do. It changes nothing: sessions that it makes by visiting Django are removed
at the end. The last line is the verdict.

With \`DJANGO_UPSTREAM\`, it also asks Django for pages. With \`--round-trip http://127.0.0.1:8000\`, the address of Django, it
visits both sides in turns as one visitor: the proof that sessions are shared, or the first step that fails. Where no
service runs yet, its half is done in the process of the doctor.

Each check ends as OK, Warning, Failed or Skipped, with what was read, and for a problem what to do. The ids are stable:
\`--silence ID\` leaves a check out, \`--tag GROUP\` runs one group, \`--json\` prints one document. The exit status is 0 when
nothing failed, 1 when a check failed (with \`--fail-level warning\` also for a warning), and 2 when the doctor could not work.

The service runs the cheap checks itself at its start, logs what it finds with the id, and lists it at
\`/health/ready?verbose\`.`

function section({ id, title, meaning, remedy, after = [], isCheap }: (typeof CHECKS)[number]): string {
  const facts = [
    { error: 'Failure', warning: 'Warning', info: 'Information' }[levelOf(id)],
    ...(isCheap ? ['also run by the service at its start'] : []),
    ...(after.length > 0 ? [`skipped when ${after.join(' or ')} fails`] : []),
  ]
  return `### ${id}\n\nPasses when ${title}. ${facts.join('; ')}.\n\n${meaning}\n\n**What to do:** ${remedy}\n`
}
