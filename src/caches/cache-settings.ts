/** One entry of Django's CACHES, normalized: LOCATION is a list, defaults are filled in. */
export interface CacheSettings {
  /** BACKEND: a dotted path of Django or of django-redis. */
  readonly backend: string
  /** LOCATION: one or several servers; for DatabaseCache the table, for FileBasedCache the folder. */
  readonly location: readonly string[]
  /** KEY_PREFIX; default: ''. */
  readonly keyPrefix: string
  /** VERSION, a number or any text; default: 1. */
  readonly version: number | string
  /** OPTIONS, unchanged. */
  readonly options: Readonly<Record<string, unknown>>
}
