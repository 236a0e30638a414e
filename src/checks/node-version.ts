/** The oldest Node that runs this package: `engines` in package.json. */
const OLDEST = [22, 18] as const

/** Returns what is wrong with this version of Node; null when it is new enough. */
export function nodeProblem(version: string = process.versions.node): string | null {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = OLDEST
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return null
  return `koa-django-sessions needs Node ${OLDEST.join('.')} or newer; this is Node ${version}`
}
