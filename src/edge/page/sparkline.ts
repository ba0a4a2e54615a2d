/** A line through the last values of a figure, as the path data of an SVG. */

export interface Size {
  readonly width: number
  readonly height: number
}

/** Room for the stroke above and below. */
const INSET = 2

/**
 * Values go from the left; `most` of them fill the width. The scale starts at 0, so that a flat line is a
 * steady figure and not noise.
 */
export function sparkline(values: readonly number[], most: number, { width, height }: Size): string {
  if (values.length === 0) return ''
  const top = Math.max(...values, Number.MIN_VALUE)
  const x = (index: number): number => width - ((values.length - 1 - index) * width) / Math.max(1, most - 1)
  const y = (value: number): number => height - INSET - (value / top) * (height - 2 * INSET)
  const points = values.map((value, index) => `${round(x(index))} ${round(y(value))}`)
  // A single value is drawn as a short line.
  if (points.length === 1) points.unshift(`${round(x(0) - width / most)} ${round(y(values[0]!))}`)
  return `M${points.join('L')}`
}

/** The same, closed along the bottom. */
export function areaBelow(line: string, { width, height }: Size): string {
  const left = /^M(\S+)/.exec(line)?.[1]
  return left === undefined ? '' : `${line}L${width} ${height}L${left} ${height}Z`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
