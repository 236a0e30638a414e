/** The bars of one scenario. */
export interface Panel {
  readonly title: string
  readonly bars: readonly Bar[]
}

export interface Bar {
  readonly label: string
  readonly value: number
  /** The value as text. */
  readonly text: string
  readonly isOurs: boolean
}

const WIDTH = 760
const LABELS = 310
const BARS = 360
const ROW = 22
const GAP = 34

/** Horizontal bars in panels below each other, as an SVG that is readable on light and dark pages. */
export function createChart(title: string, panels: readonly Panel[]): string {
  let y = 56
  const parts: string[] = []
  for (const { title: name, bars } of panels) {
    parts.push(`<text class="panel" x="0" y="${y}">${escaped(name)}</text>`)
    const longest = Math.max(...bars.map(({ value }) => value))
    for (const { label, value, text, isOurs } of bars) {
      y += ROW
      const width = Math.max(1, (BARS * value) / longest)
      parts.push(
        `<text x="${LABELS - 8}" y="${y}" text-anchor="end">${escaped(label)}</text>`,
        `<rect class="${isOurs ? 'ours' : 'other'}" x="${LABELS}" y="${y - 12}" width="${width.toFixed(1)}" height="15"/>`,
        `<text x="${(LABELS + width + 6).toFixed(1)}" y="${y}">${escaped(text)}</text>`,
      )
    }
    y += GAP
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img" aria-label="${escaped(title)}">
<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 } .panel { font-weight: 600 }
  .ours { fill: #0b7a4b } .other { fill: #9aa4af }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .ours { fill: #3fb97f } .other { fill: #6e7781 } }
</style>
<text class="title" x="0" y="20">${escaped(title)}</text>
${parts.join('\n')}
</svg>
`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
