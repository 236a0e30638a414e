/**
 * Returns a text of the settings as an error may quote it: in quotes, at most 200 characters, and without what may be a
 * secret in a URL: all before `@`, a port that is not a number, and all after `?` or `#`.
 */
export function quoted(text: string): string {
  const [start = ''] = /^[a-z][a-z\d+.-]*:\/\//i.exec(text) ?? []
  const at = text.lastIndexOf('@')
  const withoutUser = at === -1 ? text : `${start}…${text.slice(at)}`
  const shown = withoutUser.replace(NO_PORT, '$1:…').replace(/([?#]).+$/s, '$1…')
  return JSON.stringify(shown.length > LONGEST ? `${shown.slice(0, LONGEST)}…` : shown)
}

const LONGEST = 200

/** `//user:password` without a host. */
const NO_PORT = /(\/\/[^/[\]:]*):(?!\d+(?:[/?#,\s]|$))[^/?#]+/g
