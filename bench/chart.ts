/** Draws a report as SVG: tokens a second of every engine, readable on light and dark pages. */
import { median, type Report } from './results.ts'

interface Bar {
  readonly label: string
  readonly perSecond: number | null
  readonly ours?: boolean
}

interface Panel {
  readonly title: string
  readonly bars: readonly Bar[]
  /** What memory allows. */
  readonly limit?: number | null
}

const WIDTH = 760
const LEFT = 200
/** For the figures, which stand in a column. */
const RIGHT = 110
const BAR = 22
const GAP = 10
const HEAD = 44
const TOP = 20

const STYLE = `
    text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #24292f }
    .title { font-size: 15px; font-weight: 600 }
    .small { font-size: 11px; fill: #57606a }
    .ours-label { font-weight: 600 }
    .bar { fill: #afb8c1 }
    .ours { fill: #1a7f64 }
    .limit { stroke: #57606a; stroke-dasharray: 4 3 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .small { fill: #9198a1 }
      .bar { fill: #545d68 }
      .ours { fill: #3fb68b }
      .limit { stroke: #9198a1 }
    }
`

/** The same report always gives the same text. */
export function toChart(report: Report): string {
  const parts: string[] = []
  let y = TOP
  for (const panel of panelsOf(report)) {
    parts.push(...drawPanel(panel, y))
    y += HEAD + panel.bars.length * (BAR + GAP) + GAP
  }
  const { machine, model } = report
  const peers = Object.entries(machine.engines).map(([name, version]) => `${name} ${version}`)
  const notes = [
    `Shape of ${model.name} in 4 bits, random weights; ${machine.cores} cores of ${machine.cpu}; Node ${machine.node}; ${machine.date}.`,
    `${peers.join(', ')}. Medians.`,
    `llama.cpp native with 1 or ${machine.cores} threads, whichever was faster. Every token takes reading ${(model.weightBytes / 1e9).toFixed(2)} GB.`,
  ]
  for (const note of notes) {
    y += 16
    parts.push(text(TOP, y, note, 'small'))
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 16}" role="img" aria-label="${escaped(summary(report))}">
  <style>${STYLE}  </style>
${parts.map((part) => `  ${part}`).join('\n')}
</svg>
`
}

function panelsOf(report: Report): Panel[] {
  const decode = (start: string): number | null => fastest(report, start, 'decode_', 'ms/token')
  const prefill = (start: string): number | null => fastest(report, start, 'prefill_', 'tokens/s')
  const share = report.ratios.decode.bandwidth
  const ours = decode('facet')
  return [
    {
      title: 'Answering: tokens a second, one conversation',
      limit: ours === null || share === null ? null : ours / share,
      bars: [
        { label: 'onnxruntime-web (WASM)', perSecond: decode('ort-web') },
        { label: 'wllama (WASM)', perSecond: decode('wllama') },
        { label: 'Facet (WASM)', perSecond: ours, ours: true },
        { label: 'llama.cpp (native)', perSecond: decode('llama.cpp') },
      ],
    },
    {
      title: 'Reading a prompt: tokens a second',
      bars: [
        { label: 'wllama (WASM)', perSecond: prefill('wllama') },
        { label: 'Facet (WASM)', perSecond: prefill('facet'), ours: true },
        { label: 'llama.cpp (native)', perSecond: prefill('llama.cpp') },
      ],
    },
  ]
}

/** Tokens a second in the first metric that starts so, of the engine's fastest variant. */
function fastest({ results }: Report, engine: string, metric: string, unit: string): number | null {
  const of = results.filter((each) => each.engine.startsWith(engine) && each.metric.startsWith(metric))
  const rates = of
    .filter((each) => each.metric === of[0]?.metric && each.unit === unit)
    .map((each) => median(each.median === null ? [] : [each.median]))
    .filter((value) => value !== null)
    .map((value) => (unit === 'ms/token' ? 1000 / value : value))
  return rates.length > 0 ? Math.max(...rates) : null
}

function drawPanel({ title, bars, limit }: Panel, top: number): string[] {
  const most = Math.max(limit ?? 0, ...bars.map(({ perSecond }) => perSecond ?? 0))
  const scale = (WIDTH - LEFT - RIGHT) / most
  const parts = [text(TOP, top + 16, title, 'title')]
  let y = top + HEAD
  for (const { label, perSecond, ours } of bars) {
    const width = Math.max((perSecond ?? 0) * scale, perSecond === null ? 0 : 2)
    const kind = ours ? 'ours-label' : ''
    parts.push(
      text(LEFT - 10, y + 15, label, kind, 'end'),
      `<rect class="${ours ? 'ours' : 'bar'}" x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="3"/>`,
      text(WIDTH - TOP, y + 15, perSecond === null ? 'not measured' : toRate(perSecond), kind, 'end'),
    )
    y += BAR + GAP
  }
  if (limit) {
    const x = (LEFT + limit * scale).toFixed(1)
    parts.push(
      `<line class="limit" x1="${x}" x2="${x}" y1="${top + HEAD - 6}" y2="${y - GAP + 6}"/>`,
      text(Number(x), top + HEAD - 12, `memory bandwidth allows ${toRate(limit)}`, 'small', 'middle'),
    )
  }
  return parts
}

function text(x: number, y: number, content: string, kind: string, anchor = 'start'): string {
  return `<text class="${kind}" x="${x.toFixed(0)}" y="${y}" text-anchor="${anchor}">${escaped(content)}</text>`
}

function toRate(value: number): string {
  return value >= 10 ? value.toFixed(1) : value.toFixed(value >= 1 ? 1 : 2)
}

function summary(report: Report): string {
  return panelsOf(report)
    .map(({ title, bars }) => {
      const said = bars.map(
        ({ label, perSecond }) => `${label} ${perSecond === null ? '-' : toRate(perSecond)}`,
      )
      return `${title}: ${said.join(', ')}.`
    })
    .join(' ')
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
