import { readFileSync } from 'node:fs'
import test from 'ava'
import { scrape } from '../../support/scrape.ts'
import { startService } from '../../support/service.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly datasource?: { readonly type: string; readonly uid: string }
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly refId: string; readonly expr: string; readonly datasource: object }[]
}

const text = readFileSync(new URL('../../../grafana/dashboard.json', import.meta.url), 'utf8')
const dashboard = JSON.parse(text)
const panels: readonly Panel[] = dashboard.panels
const graphs = panels.filter(({ type }) => type !== 'row')
const queries = graphs.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
const variables: readonly { name: string; type: string; query: unknown; definition?: string }[] =
  dashboard.templating.list

test('every metric of the dashboard is in a scrape of the service, with the labels that its query uses', async (t) => {
  const service = await startService(t)
  await (await fetch(`${service.url}/catalog/`)).text()
  const { url } = await service.next('metrics.listening')
  const { samples } = await scrape(new URL(String(url)).origin)
  const labels = new Map<string, Set<string>>()
  for (const sample of samples.keys()) {
    const [name = '', rest = ''] = sample.split('{')
    const known = labels.get(name) ?? new Set(['job', 'instance']) // which Prometheus adds
    for (const [, label = ''] of rest.matchAll(/(\w+)="/g)) known.add(label)
    labels.set(name, known)
  }
  const asked = [...queries, ...variables.map(({ definition = '' }) => definition)]
  for (const query of asked.filter((one) => one !== '')) {
    const [metric = ''] = metricsIn(query)
    t.truthy(metric, query)
    t.deepEqual(new Set(metricsIn(query)), new Set([metric]), 'each query uses one metric')
    t.true(labels.has(metric), `${metric} is not in the scrape`)
    for (const label of labelsIn(query)) t.true(labels.get(metric)?.has(label), `${query}: ${label}`)
  }
})

test('each metric of the service is on the dashboard', async (t) => {
  const service = await startService(t)
  const { url } = await service.next('metrics.listening')
  const { type } = await scrape(new URL(String(url)).origin)
  const shown = new Set(queries.flatMap(metricsIn).map((name) => name.replace(/_(?:bucket|count)$/, '')))
  const ours = [...type.keys()].filter((name) => !/^(?:nodejs|process)_/.test(name))
  t.deepEqual(
    ours.filter((name) => !shown.has(name)),
    [],
  )
})

test('Grafana 10 and later can import the dashboard', (t) => {
  t.true(dashboard.schemaVersion >= 38)
  for (const field of ['uid', 'title']) t.regex(dashboard[field], /^[\w-]+$/)
  t.false('id' in dashboard) // Grafana assigns one; a fixed id would overwrite another dashboard.
  t.deepEqual(
    variables.map(({ name, type }) => [name, type]),
    [
      ['datasource', 'datasource'],
      ['job', 'query'],
      ['instance', 'query'],
    ],
  )
  t.is(variables[0]?.query, 'prometheus')
  t.is(new Set(panels.map(({ id }) => id)).size, panels.length)
  for (const { title, datasource, targets = [] } of graphs) {
    t.deepEqual(datasource, { type: 'prometheus', uid: `\${datasource}` }, title)
    t.true(targets.length > 0, title)
    t.is(new Set(targets.map(({ refId }) => refId)).size, targets.length, title)
    for (const { expr, datasource: own } of targets) {
      t.deepEqual(own, datasource, title)
      t.is(expr.split('(').length, expr.split(')').length, expr)
    }
  }
})

test('no two panels of the dashboard overlap', (t) => {
  const taken = new Map<string, string>()
  for (const { title, gridPos } of panels) {
    t.true(gridPos.x + gridPos.w <= 24, title)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        t.is(taken.get(`${x},${y}`), undefined, title)
        taken.set(`${x},${y}`, title)
      }
  }
})

/** The names in a query that are neither functions, nor labels, nor words of PromQL. */
function metricsIn(query: string): string[] {
  const bare = query
    .replace(/\{[^}]*\}|\[[^\]]*\]/g, ' ')
    .replace(/\bby \([^)]*\)/g, ' ')
    .replace(/, \w+\)$/, ')') // label_values(metric, label)
  return [...bare.matchAll(/[a-z_:][\w:]*(?!\w*\s*\()/gi)].map(([name]) => name)
}

function labelsIn(query: string): string[] {
  const matchers = [...query.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, label = '']) => label)
  const groups = [...query.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names = '']) => names.split(/,\s*/))
  return [...matchers, ...groups]
}
