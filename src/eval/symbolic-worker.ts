/** A thread that says whether two formulas are equal: as they are written, as numbers, or wherever they are computed. */
import { parentPort } from 'node:worker_threads'
import { ComputeEngine, type Expression } from '@cortex-js/compute-engine'
import type { Formulas } from './symbolic.ts'

const engine = new ComputeEngine()
// Exact: 1.41421356237 is not the root of 2.
engine.tolerance = 1e-15

/** Of either sign, and nothing that a formula would have by chance. */
const POINTS = [0.7390851, -1.3247179, 2.2360679, -0.4142135, 1.6180339, 3.1622776]
/** So many points say that two formulas are the same; at the others neither may have a value. */
const LEAST_POINTS = 3
const CLOSE = 1e-9

function equal([a, b]: Formulas): boolean {
  const [x, y] = [engine.parse(a), engine.parse(b)]
  if (!says(x) || !says(y)) return false
  if (x.isSame(y)) return true
  const unknowns = [...new Set([...x.unknowns, ...y.unknowns])]
  return unknowns.length === 0 ? x.isEqual(y) === true : equalAtPoints(x, y, unknowns)
}

function says(formula: Expression): boolean {
  return formula.isValid && !['Nothing', 'ComplexInfinity', 'NaN'].includes(String(formula.json))
}

/** Two formulas that are not the same differ almost everywhere. */
function equalAtPoints(x: Expression, y: Expression, unknowns: readonly string[]): boolean {
  let compared = 0
  for (let point = 0; point < POINTS.length; point++) {
    const values = unknowns.map((name, i) => [name, POINTS[(point + 2 * i) % POINTS.length]! * (1 + i / 10)])
    const [one, other] = [x, y].map((formula) => formula.subs(Object.fromEntries(values)).N())
    const size = Math.hypot(one!.re, one!.im)
    if (!Number.isFinite(size) && !Number.isFinite(Math.hypot(other!.re, other!.im))) continue
    const apart = Math.hypot(one!.re - other!.re, one!.im - other!.im)
    if (!(apart <= CLOSE * Math.max(1, size))) return false
    compared++
  }
  return compared >= LEAST_POINTS
}

parentPort!.on('message', (formulas: Formulas) => parentPort!.postMessage(answerTo(formulas)))
parentPort!.postMessage('ready')

function answerTo(formulas: Formulas): boolean {
  try {
    return equal(formulas)
  } catch {
    return false // what it cannot compute is not known to be equal
  }
}
