/** One entry of Django's CACHES, normalised: a LOCATION is a list, defaults are filled in. */
export interface CacheSettings {
  /** BACKEND: Django's dotted path, or django-redis'. */
  readonly backend: string
  /** LOCATION, one or several; for DatabaseCache the table, for FileBasedCache the folder. */
  readonly location: readonly string[]
  /** KEY_PREFIX; '' unless set. */
  readonly keyPrefix: string
  /** VERSION, a number or any text; 1 unless set. */
  readonly version: number | string
  /** OPTIONS, verbatim. */
  readonly options: Readonly<Record<string, unknown>>
}
