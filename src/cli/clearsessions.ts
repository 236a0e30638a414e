import { Option } from 'commander'
import type { AddCommand, CommandContext, ExitStatus } from './command.ts'
import { writeJson } from './json-output.ts'
import { countUpTo, durationOf } from './option-values.ts'
import { createProgress } from './progress.ts'
import { openGivenProject } from './project.ts'

export const addClearsessions: AddCommand = (program, action) => {
  program
    .command('clearsessions')
    .description('delete expired sessions, in small batches')
    .addOption(
      new Option('--older-than <duration>', 'only sessions that have been expired for at least that long')
        .argParser(durationOf)
        .default(0),
    )
    .addOption(
      new Option('--batch-size <rows>', 'the most rows of one statement')
        .argParser(countUpTo(10_000))
        .default(1000),
    )
    .option('--dry-run', 'count, and delete nothing')
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(action(clearsessions))
}

const EXAMPLES = `
A duration is a number of seconds, or 7d, 12h, 30m. Ctrl-C ends the work after the running batch; the next run goes on.

Examples:
  $ koa-django-sessions clearsessions
  $ koa-django-sessions clearsessions --dry-run
  $ koa-django-sessions clearsessions --older-than 7d --json`

interface ClearsessionsArguments {
  readonly olderThan: number
  readonly batchSize: number
  readonly dryRun?: boolean
  readonly json?: boolean
}

async function clearsessions(
  context: CommandContext,
  { olderThan, batchSize, dryRun = false, json = false }: ClearsessionsArguments,
): Promise<ExitStatus> {
  const { output, errors, interrupted: signal } = context
  // Only now, so that other commands do not load it.
  const { clearProjectSessions } = await import('../operations/clear-sessions.ts')
  const project = await openGivenProject(context)
  const progress = createProgress({ unit: 'sessions', errors })
  try {
    const options = { olderThan, batchSize, signal }
    // Counting reads the index once; without a bar it is not needed.
    const counted =
      dryRun || errors.isTTY ? await clearProjectSessions(project, { ...options, dryRun: true }) : null
    const result =
      dryRun && counted !== null
        ? counted
        : await clearProjectSessions(project, {
            ...options,
            onProgress: ({ deleted }) => progress.update({ done: deleted, total: counted?.expired ?? null }),
          })
    progress.end()
    const { place, because, expired, deleted, seconds, interrupted } = result
    if (json)
      writeJson(output, 'clearsessions/1', { place, because, dryRun, expired, deleted, seconds, interrupted })
    else if (place === null) output.write(`Nothing to clear: ${because}.\n`)
    else if (dryRun) output.write(`${place} has ${plural(expired ?? 0)} that would be deleted.\n`)
    else output.write(`Deleted ${plural(deleted)} from ${place} in ${seconds.toFixed(1)} s.\n`)
    if (interrupted) errors.write('Ended before everything was done; the next run goes on.\n')
    return interrupted ? 130 : 0
  } finally {
    progress.end()
    await project.close()
  }
}

function plural(count: number): string {
  return `${count.toLocaleString('en')} expired session${count === 1 ? '' : 's'}`
}
