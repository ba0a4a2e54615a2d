/** Boxes on a grid and arrows between them, as SVG for light and dark. */

interface Box {
  readonly title: string
  readonly note?: string
  /** Column and row on the grid, from 0; halves are allowed. */
  readonly at: readonly [column: number, row: number]
  /** Columns that it is wide. Default: 1. */
  readonly wide?: number
  /** Somebody else's program. */
  readonly foreign?: boolean
}

export interface Diagram {
  /** What it shows, for those who do not see it. */
  readonly description: string
  readonly boxes: Readonly<Record<string, Box>>
  readonly arrows: readonly (readonly [from: string, to: string, label?: string])[]
}

const [CELL_WIDTH, CELL_HEIGHT, BOX_WIDTH, BOX_HEIGHT, MARGIN] = [222, 108, 190, 56, 16]

const STYLE = `
text { font: 14px system-ui, sans-serif; fill: #1c1f1e; text-anchor: middle }
.note, .label { font-size: 11.5px; fill: #5a615e }
.label { text-anchor: start; stroke: #fff; stroke-width: 4px; paint-order: stroke }
rect { fill: #fff; stroke: #0e7c69; stroke-width: 1.5 }
.foreign rect { stroke: #8a918d; stroke-dasharray: 5 4 }
.arrow { fill: none; stroke: #5a615e; stroke-width: 1.5; marker-end: url(#head) }
#head path { fill: #5a615e }
.paper { fill: #fff; stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #e7eae8 }
.note, .label { fill: #9ca5a1 }
.label { stroke: #121413 }
rect { fill: #1a1d1c; stroke: #67ceb8 }
.foreign rect { stroke: #7d8682 }
.arrow { stroke: #9ca5a1 }
#head path { fill: #9ca5a1 }
.paper { fill: #121413 }
}`

interface Frame {
  readonly left: number
  readonly top: number
  readonly width: number
}

const frameOf = ({ at: [column, row], wide = 1 }: Box): Frame => ({
  left: MARGIN + column * CELL_WIDTH,
  top: MARGIN + row * CELL_HEIGHT,
  width: (wide - 1) * CELL_WIDTH + BOX_WIDTH,
})

export function toSvg({ description, boxes, arrows }: Diagram): string {
  const frames = Object.values(boxes).map(frameOf)
  const width = Math.max(...frames.map((frame) => frame.left + frame.width)) + MARGIN
  const height = Math.max(...frames.map((frame) => frame.top + BOX_HEIGHT)) + MARGIN
  const drawn = [
    ...arrows.map(([from, to, label]) => toArrow(boxes[from]!, boxes[to]!, label)),
    ...Object.values(boxes).map(toBox),
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${description}</title>
<style>${STYLE}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>
<rect class="paper" width="${width}" height="${height}"/>
${drawn.join('\n')}
</svg>
`
}

function toBox(box: Box): string {
  const { left, top, width } = frameOf(box)
  const middle = left + width / 2
  const note = box.note ? `<text class="note" x="${middle}" y="${top + 43}">${box.note}</text>` : ''
  return `<g${box.foreign ? ' class="foreign"' : ''}><rect x="${left}" y="${top}" width="${width}" height="${BOX_HEIGHT}" rx="8"/><text x="${middle}" y="${top + (box.note ? 25 : 33)}">${box.title}</text>${note}</g>`
}

/** From side to side where both stand in one row, else from below to above; only then it has a label. */
function toArrow(from: Box, to: Box, label: string | undefined): string {
  const [a, b] = [frameOf(from), frameOf(to)]
  const level = a.top === b.top
  const down = b.top > a.top
  const right = b.left > a.left
  // Where one box is wider, the arrow goes straight down from above the narrower one.
  const narrow = a.width <= b.width ? a : b
  const straight = narrow.left + narrow.width / 2
  const within = (frame: Frame): boolean => straight > frame.left && straight < frame.left + frame.width
  const centre = (frame: Frame): number => frame.left + frame.width / 2
  const x1 = level ? (right ? a.left + a.width : a.left) : within(a) ? straight : centre(a)
  const x2 = level ? (right ? b.left : b.left + b.width) : within(b) ? straight : centre(b)
  const y1 = level ? a.top + BOX_HEIGHT / 2 : down ? a.top + BOX_HEIGHT : a.top
  const y2 = level ? y1 : down ? b.top : b.top + BOX_HEIGHT
  const bend = (y1 + y2) / 2
  const path = level ? `M${x1} ${y1}H${x2}` : `M${x1} ${y1}C${x1} ${bend} ${x2} ${bend} ${x2} ${y2}`
  const text = label ? `<text class="label" x="${(x1 + x2) / 2 + 8}" y="${bend + 4}">${label}</text>` : ''
  return `<path class="arrow" d="${path}"/>${text}`
}
