import { type HashAlgorithm, type VersionProfile, versionProfile } from '../django/versions.ts'

/** Which Django the site runs. */
export interface DjangoVersionOptions {
  /** What `python -m django --version` prints on the site, e.g. `4.2`. */
  readonly djangoVersion: string
  /** DEFAULT_HASHING_ALGORITHM, which Django 3.1 and 3.2 know. */
  readonly defaultHashingAlgorithm?: HashAlgorithm
}

/** These options with the rules of the Django version in place of its name. */
export type WithProfile<T extends DjangoVersionOptions> = Omit<T, keyof DjangoVersionOptions> & {
  readonly profile: VersionProfile
}

/** Looks the rules up once, for all parts of a site. @throws {UnknownDjangoVersion} */
export function withProfile<T extends DjangoVersionOptions>({
  djangoVersion,
  defaultHashingAlgorithm,
  ...options
}: T): WithProfile<T> {
  return { ...options, profile: versionProfile(djangoVersion, { defaultHashingAlgorithm }) }
}
