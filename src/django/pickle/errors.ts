/**
 * The pickle asks for more than plain data: a class or function that we do not know, a persistent id, an extension.
 * Python would import or call what it names; here it is only named. `what` is e.g. `builtins.eval`.
 */
export class PickleRefused extends Error {
  override name = 'PickleRefused'
  readonly code: string = 'ERR_PICKLE_REFUSED'
  readonly what: string

  constructor(what: string) {
    super(`The pickle holds ${what}, which is no plain data`)
    this.what = what
  }
}

/** The bytes are no pickle that Python would load. `position` counts bytes from 0. */
export class UnpicklingError extends Error {
  override name = 'UnpicklingError'
  readonly code: string = 'ERR_UNPICKLING'
  readonly position: number | null

  constructor(problem: string, position: number | null = null) {
    super(position === null ? problem : `${problem}: byte ${position}`)
    this.position = position
  }
}
