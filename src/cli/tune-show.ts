/** A tuning's progress in a terminal: what changed since the last look. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeReportFile } from '../eval/run-folder.ts'
import { drawLoss, toCurves } from '../tune/home/curve.ts'
import { toCurvePage } from '../tune/home/curve-page.ts'
import { tunedFolder } from '../tune/home/tuned.ts'
import type { Observation } from '../tune/job/job.ts'
import { lastStep } from '../tune/job/metrics.ts'
import type { ProgressStream } from './progress.ts'

const PAGE = 'curve.html'
const PAGE_SECONDS = 10

/** `RUNNING: step 120 of 300, loss 1.234, attempt 2, preempted once.` or `QUOTA: …`. */
export function toLine(observation: Observation): string {
  const { state, cause } = observation
  if (cause) return `${cause.cause}: ${cause.says}${more(preempted(observation))}`
  const parts = [progress(observation), attempts(observation), preempted(observation)]
  const said = parts.filter((part) => part !== '').join(', ')
  return `${state.toUpperCase()}${said === '' ? '' : `: ${said}`}.`
}

/** Shows each look: on a terminal with the loss so far, drawn anew; elsewhere what is new is written. */
export function showJob(stream: ProgressStream): (observation: Observation) => void {
  let shown = ''
  let height = 0
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
    const columns = (stream.columns ?? 120) - 1
    const lines = [...drawLoss(toCurves(observation.steps), { columns }), line.slice(0, columns)]
    // What a state was like before the next one stays to be read.
    const back = height === 0 || changed ? '' : `\x1b[${height}A\x1b[0J`
    stream.write(`${back}${lines.join('\n')}\n`)
    height = lines.length
  }
}

/** Writes each look as a page that reads itself again, until the run has ended. */
export function pageOf(name: string, folder: string): (observation: Observation) => Promise<string> {
  const home = join(folder, tunedFolder(name))
  return async ({ state, steps }) => {
    const ended = state === 'succeeded' || state === 'failed'
    await mkdir(home, { recursive: true })
    // Whole at any time: a browser reads it again and again.
    const page = toCurvePage(steps, { name, ...(!ended && { refreshSeconds: PAGE_SECONDS }) })
    await writeReportFile(home, PAGE, page)
    return join(home, PAGE)
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
