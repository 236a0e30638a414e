/**
 * The pickle contains something other than plain data: an unknown class or function, a persistent id, an extension.
 * Python would import or call it; here it is only named. `what` is e.g. `builtins.eval`.
 */
export class PickleRefused extends Error {
  override name = 'PickleRefused'
  readonly code: string = 'ERR_PICKLE_REFUSED'
  readonly what: string

  constructor(what: string) {
    super(`The pickle contains ${what}, which is not plain data and is not loaded`)
    this.what = what
  }
}

/** The bytes are not a pickle that Python would load. `position` counts bytes from 0. */
export class UnpicklingError extends Error {
  override name = 'UnpicklingError'
  readonly code: string = 'ERR_UNPICKLING'
  readonly position: number | null

  constructor(problem: string, position: number | null = null) {
    super(position === null ? problem : `${problem}: byte ${position}`)
    this.position = position
  }
}
