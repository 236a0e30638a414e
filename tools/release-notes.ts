/**
 * The notes of a version: its section of CHANGELOG.md, without the heading.
 * @throws when the changelog has no such section, or the section is empty.
 */
export function releaseNotes(changelog: string, version: string): string {
  const sections = changelog.split(/^## /m).slice(1)
  const section = sections.find((one) => headingOf(one) === version)
  if (section === undefined)
    throw new Error(
      `CHANGELOG.md has no section "## ${version}"; rename "## Unreleased" to "## ${version}" and commit it`,
    )
  const notes = section.slice(section.indexOf('\n') + 1).trim()
  if (notes === '') throw new Error(`the section ${version} of CHANGELOG.md is empty; say what changed`)
  return `${notes}\n`
}

/** `1.0.0` of `1.0.0 - 2026-12-01` and of `[1.0.0]`. */
function headingOf(section: string): string | undefined {
  return /^\[?([^\s\]]+)/.exec(section)?.[1]
}
