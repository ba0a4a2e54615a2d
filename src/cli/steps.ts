/** Shows the steps of `facet up` and `facet down`: a line that is redrawn on a terminal, few lines elsewhere. */
import { type Step, toDuration } from '../../deploy/waiting.ts'
import type { ProgressStream } from './progress.ts'

export function showSteps(stream: ProgressStream): (step: Step) => void {
  let waiting = ''
  return (step) => {
    const clear = stream.isTTY ? '\r\x1b[K' : ''
    if (step.type !== 'waiting') {
      waiting = ''
      if (stream.isTTY && step.type === 'doing') stream.write(`${clear}${step.what} ...`)
      if (step.type === 'done') stream.write(`${clear}${step.what}\n`)
      return
    }
    const line = `${step.what} (${toDuration(step.sinceMs)} of ${toDuration(step.limitMs)} at most)`
    if (stream.isTTY) stream.write(`${clear}${line.slice(0, (stream.columns ?? 120) - 1)}`)
    // Elsewhere only what is new.
    else if (step.what !== waiting) stream.write(`${line}\n`)
    waiting = step.what
  }
}
