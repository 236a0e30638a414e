/** The pages of the published package: no relative link leads out of it. */
import { posix } from 'node:path'

/**
 * A Markdown page as it is published. A link to a file of the package stays. A link to another file of the project becomes
 * absolute, or plain text when it is not known where the project is.
 * @param path of the page in the package, as those in `packed`.
 * @param browse `https://github.com/owner/name/blob/v1.0.0/`; null when it is not known.
 */
export function publishedPage(
  text: string,
  { path, packed, browse }: { path: string; packed: ReadonlySet<string>; browse: string | null },
): string {
  const isPacked = (target: string) =>
    packed.has(target) || [...packed].some((one) => one.startsWith(`${target.replace(/\/$/, '')}/`))
  return text.replace(OUTSIDE_CODE, (found: string, image?: string, label = '', target = '') => {
    if (target === '' || /^(?:[a-z][a-z\d+.-]*:|#)/i.test(target)) return found
    const [file = '', anchor] = target.split('#')
    const inProject = posix.join(posix.dirname(path), file)
    if (isPacked(inProject)) return found
    if (browse === null) return image === '!' ? '' : label
    const address = `${browse}${inProject}${anchor === undefined ? '' : `#${anchor}`}`
    // A blob page is HTML, not the image.
    return image === '!' ? `![${label}](${address}?raw=true)` : `[${label}](${address})`
  })
}

/** A block or a span of code, which has no links, else a link or an image. */
const OUTSIDE_CODE = /^```[\s\S]*?^```|(?<!`)`[^`\n]+`(?![`\]])|(!?)\[((?:[^\]`]|`[^`]*`)*)\]\(([^()\s]+)\)/gm
