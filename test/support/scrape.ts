export interface Scrape {
  /** The samples by their name with labels, as Prometheus reads them: `up{a="b"}` → 1. */
  readonly samples: ReadonlyMap<string, number>
  /** HELP and TYPE of each metric. */
  readonly help: ReadonlyMap<string, string>
  readonly type: ReadonlyMap<string, string>
}

/** Asks for /metrics. @throws Error when a line is not in Prometheus' text format, or a name or a sample comes twice. */
export async function scrape(url: string): Promise<Scrape> {
  const response = await fetch(`${url}/metrics`)
  const type = response.headers.get('Content-Type')
  if (response.status !== 200 || type !== 'text/plain; version=0.0.4; charset=utf-8')
    throw new Error(`${response.status} ${type}`)
  return parse(await response.text())
}

/** Source: https://prometheus.io/docs/instrumenting/exposition_formats/, "Text format details". */
function parse(text: string): Scrape {
  const found = {
    samples: new Map<string, number>(),
    help: new Map<string, string>(),
    type: new Map<string, string>(),
  }
  const put = <T>(map: Map<string, T>, name: string, value: T) => {
    if (map.has(name)) throw new Error(`${name} comes twice`)
    map.set(name, value)
  }
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line) ?? []
    const [, sample = '', value = ''] = SAMPLE.exec(line) ?? []
    if (kind === 'HELP') put(found.help, name, rest)
    else if (kind === 'TYPE') put(found.type, name, rest)
    else if (sample !== '' && isNumber(value)) put(found.samples, sample, Number(value))
    else throw new Error(`not in Prometheus' format: ${line}`)
  }
  return found
}

/** As Go reads numbers, which prom-client's "Nan" counts on. */
function isNumber(text: string): boolean {
  return /^(?:nan|[-+]?inf)$/i.test(text) || !Number.isNaN(Number(text))
}

const LABEL = String.raw`[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"`
const SAMPLE = new RegExp(String.raw`^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{${LABEL}(?:,${LABEL})*\})?) ([-+\w.]+)$`)
