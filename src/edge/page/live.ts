/** The dashboard: figures of whatever computes, read once a second while they are shown, with their last minute. */
import { copyOf, element, inside, make } from './dom.ts'
import { FIGURES, type Reading, Series, toShort } from './figures.ts'
import { areaBelow, sparkline } from './sparkline.ts'

const PERIOD_MS = 1000
/** A minute. */
const MOST = 60
const SIZE = { width: 120, height: 32 }

/** Where figures come from; undefined where there are none, with a sentence for the reader. */
export interface Source {
  /** Another one starts the lines anew. */
  readonly name: string
  read(): Promise<Reading | string>
}

const note = element('live-note', HTMLElement)

export class Live {
  readonly #source: () => Source
  readonly #tiles: readonly HTMLElement[]
  #series: readonly Series[] = []
  #name = ''
  #before: Reading | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #shown = false

  constructor(source: () => Source) {
    this.#source = source
    this.#tiles = FIGURES.map(({ name }) => {
      const tile = copyOf('figure-template')
      inside(tile, 'h3').textContent = name
      return tile
    })
    element('figures', HTMLUListElement).append(...this.#tiles)
    document.addEventListener('visibilitychange', () => this.#restart())
  }

  /** Reads while it is shown and the page is in view. */
  show(shown: boolean): void {
    this.#shown = shown
    this.#restart()
  }

  #restart(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#shown && !document.hidden) void this.#tick()
  }

  async #tick(): Promise<void> {
    const timer = setTimeout(() => {
      if (this.#timer === timer) void this.#tick()
    }, PERIOD_MS)
    this.#timer = timer
    const source = this.#source()
    const reading = await source.read()
    // Hidden, or asked again, meanwhile.
    if (this.#timer !== timer) return
    if (source.name !== this.#name) this.#begin(source.name)
    if (typeof reading === 'string') {
      note.textContent = reading
      return
    }
    const by = reading.graph ? `, which computes with ${reading.graph}` : ''
    note.textContent = `Every second, from ${source.name}${by}.`
    // The first reading is compared with the start: means are then of everything so far.
    const before = this.#before ?? { atMs: reading.atMs }
    this.#before = reading
    for (const [i, figure] of FIGURES.entries()) {
      const series = this.#series[i]!
      const value = figure.value(reading, before) ?? (figure.holds ? series.values.at(-1) : undefined)
      if (value !== undefined) series.push(value)
      this.#draw(i, figure.outOf?.(reading))
    }
  }

  #begin(name: string): void {
    this.#name = name
    this.#before = undefined
    this.#series = FIGURES.map(() => new Series(MOST))
    for (const i of FIGURES.keys()) this.#draw(i, undefined)
  }

  #draw(i: number, outOf: string | undefined): void {
    const { name, unit } = FIGURES[i]!
    const { values } = this.#series[i]!
    const tile = this.#tiles[i]!
    const last = values.at(-1)
    const known = last === undefined ? '–' : `${toShort(last)}${unit && `\u202f${unit}`}`
    inside(tile, '.value').textContent = outOf === undefined ? known : `${known} `
    if (outOf !== undefined) inside(tile, '.value').append(make('small', outOf))
    const line = sparkline(values, MOST, SIZE)
    inside<SVGPathElement>(tile, '.line').setAttribute('d', line)
    inside<SVGPathElement>(tile, '.area').setAttribute('d', areaBelow(line, SIZE))
    const range =
      values.length === 0
        ? 'nothing yet'
        : `from ${toShort(Math.min(...values))} to ${toShort(Math.max(...values))} ${unit}`
    inside<SVGElement>(tile, 'svg').setAttribute(
      'aria-label',
      `${name} over the last minute: ${range.trim()}`,
    )
  }
}
