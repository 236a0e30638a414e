/** Stops this process for some milliseconds, as a paused container does: what arrives meanwhile is read afterwards. */
export function holdUp(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
