/** A tuning's progress in a terminal: what changed since the last look. */
import type { Observation } from '../tune/job/job.ts'
import { lastStep } from '../tune/job/metrics.ts'
import type { ProgressStream } from './progress.ts'

/** `RUNNING: step 120 of 300, loss 1.234, attempt 2, preempted once.` or `QUOTA: …`. */
export function toLine(observation: Observation): string {
  const { state, cause } = observation
  if (cause) return `${cause.cause}: ${cause.says}${more(preempted(observation))}`
  const parts = [progress(observation), attempts(observation), preempted(observation)]
  const said = parts.filter((part) => part !== '').join(', ')
  return `${state.toUpperCase()}${said === '' ? '' : `: ${said}`}.`
}

/** Shows each look; on a terminal a line is redrawn, elsewhere what is new is written. */
export function showJob(stream: ProgressStream): (observation: Observation) => void {
  let shown = ''
  return (observation) => {
    const line = toLine(observation)
    if (line === shown) return
    const ends = observation.state === 'succeeded' || observation.state === 'failed'
    const changed = shown.split(':')[0] !== line.split(':')[0]
    shown = line
    if (!stream.isTTY) {
      if (!ends) stream.write(`${line}\n`)
      return
    }
    // What a state was like before the next one stays to be read.
    stream.write(
      `${changed ? '\n' : ''}\r\x1b[K${line.slice(0, (stream.columns ?? 120) - 1)}${ends ? '\n' : ''}`,
    )
  }
}

function progress({ steps }: Observation): string {
  const last = lastStep(steps)
  if (!last) return ''
  const { step, steps: all, loss, reward, kl, accuracy } = last
  const others = Object.entries({ reward, kl, accuracy }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name} ${value.toPrecision(3)}`],
  )
  return [`step ${step} of ${all}`, `loss ${loss.toPrecision(4)}`, ...others].join(', ')
}

function attempts({ attempt }: Observation): string {
  return attempt > 1 ? `attempt ${attempt}` : ''
}

function preempted({ preemptions }: Observation): string {
  if (preemptions === 0) return ''
  return `preempted ${preemptions === 1 ? 'once' : `${preemptions} times`}`
}

const more = (said: string): string => (said === '' ? '' : ` It was ${said} so far.`)
