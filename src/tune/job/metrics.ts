/** metrics.jsonl as the scripts write it, read while they write, over preemptions. */
import { isObject } from '../../check.ts'
import { toJson } from '../to-json.ts'
import type { JobFile, JobLine } from './job.ts'

/**
 * Lines that are cut off, or of a kind that is not known, are left out. What a checkpoint was resumed before
 * counts no more: those steps are done again.
 */
export function parseMetrics(text: string): JobLine[] {
  let lines: JobLine[] = []
  for (const line of text.split('\n')) {
    const parsed = parseLine(line)
    if (!parsed) continue
    if (parsed.facet === 'resume') lines = lines.filter((one) => stepOf(one) <= parsed.step)
    lines.push(parsed)
  }
  return lines
}

/** The last line that tells a step of training. */
export function lastStep(lines: readonly JobLine[]): Extract<JobLine, { facet: 'step' }> | undefined {
  return lines.findLast((line) => line.facet === 'step')
}

/** Of the newest checkpoint that was finished. */
export function savedStep(lines: readonly JobLine[]): number | undefined {
  return lines.findLast((line) => line.facet === 'save')?.step
}

const stepOf = (line: JobLine): number => ('step' in line ? line.step : 0)

/** Undefined for what is none of the lines that are known. */
export function parseLine(text: string): JobLine | undefined {
  const value = toJson(text)
  if (!isObject(value)) return undefined
  const { facet, step } = value
  if (facet === 'done')
    return Array.isArray(value.files) && value.files.every(isFile)
      ? { facet, files: value.files as readonly JobFile[] }
      : undefined
  if (!isCount(step)) return undefined
  if (facet === 'resume' || facet === 'save') return { facet, step }
  const { loss, steps } = value
  if (typeof loss !== 'number') return undefined
  if (facet === 'eval') return { facet, step, loss, ...numbersOf(value, ['accuracy']) }
  if (facet !== 'step' || !isCount(steps)) return undefined
  return { facet, step, steps, loss, ...numbersOf(value, OF_STEPS) }
}

const OF_STEPS = ['learning_rate', 'tokens', 'seconds', 'reward', 'kl', 'length', 'accuracy'] as const

function numbersOf<Name extends string>(
  value: Readonly<Record<string, unknown>>,
  names: readonly Name[],
): Partial<Record<Name, number>> {
  const known = names.filter((name) => typeof value[name] === 'number')
  return Object.fromEntries(known.map((name) => [name, value[name]])) as Partial<Record<Name, number>>
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

function isFile(value: unknown): value is JobFile {
  return (
    isObject(value) &&
    typeof value.path === 'string' &&
    isCount(value.bytes) &&
    typeof value.sha256 === 'string'
  )
}
