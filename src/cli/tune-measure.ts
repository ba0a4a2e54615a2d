/** A tuned model and its base, opened and measured alike for `facet tune fetch`. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Engine, loadEngine } from '../engine/node.ts'
import { FacetError } from '../errors.ts'
import { DataCache } from '../eval/data/cache.ts'
import { loadData } from '../eval/data/load.ts'
import { openRun } from '../eval/kinds.ts'
import { type Benchmark, runBenchmarks } from '../eval/run-benchmarks.ts'
import { taskNamed } from '../eval/tasks/tasks.ts'
import { writeReport } from '../eval/write-report.ts'
import { MANIFEST_FILE } from '../gemma/manifest.ts'
import { ownCache } from '../pull/cache.ts'
import { Web } from '../pull/web.ts'
import type { Comparison, Pair } from '../tune/home/compared.ts'
import type { Done } from '../tune/home/done.ts'
import { heldOutLoss, readTurns } from '../tune/home/held-out.ts'
import type { Tuned } from '../tune/home/tuned.ts'
import type { Backend } from '../types.ts'
import { showRun } from './eval-progress.ts'

export interface MeasureFlags {
  readonly base?: string
  readonly eval?: string
  readonly limit?: number
  readonly evalData?: string
}

export interface Measuring {
  readonly name: string
  readonly done: Done
  /** Of the tuning's files: runs of benchmarks are kept there. */
  readonly home: string
  readonly tuned: Tuned
  /** Of facet.config.ts. */
  readonly folder: string
  readonly flags: MeasureFlags
}

/** Of the same draw before and after. */
const SEED = 1

/**
 * What was asked for, before and after. Nothing where no model directory of the base is at hand and nothing was
 * asked for by name.
 *
 * @throws FacetError invalid_request where the base is missing, and as evaluating does
 */
export async function measureTuned(measuring: Measuring, signal: AbortSignal): Promise<Comparison> {
  const { name, done, flags } = measuring
  const nothing: Comparison = { name, base: done.base, benchmarks: [] }
  const base = await baseDirectory(flags)
  if (base === undefined || (flags.evalData === undefined && flags.eval === undefined)) return nothing
  const [before, after] = await open(measuring, base)
  try {
    const turns = flags.evalData === undefined ? [] : await readTurns(flags.evalData)
    const heldOut = turns.length > 0 && {
      before: await heldOutLoss(before, turns, signal),
      after: await heldOutLoss(after, turns, signal),
    }
    const benchmarks = await compareOn(measuring, before, after, signal)
    return { ...nothing, benchmarks, ...(heldOut && { heldOut }) }
  } finally {
    await Promise.all([...new Set([before.engine, after.engine])].map((engine) => engine.close()))
  }
}

async function baseDirectory({ base, eval: tasks }: MeasureFlags): Promise<string | undefined> {
  const manifest = base !== undefined && (await readFile(join(base, MANIFEST_FILE)).catch(() => undefined))
  if (manifest) return base
  if (tasks === undefined) return undefined
  const says = '--eval needs a model directory of the base to compare with; give it with --base.'
  throw new FacetError('invalid_request', says, { field: 'base' })
}

type Opened = Backend & { readonly engine: Engine }

/** An adapter is computed beside the base in one engine; a model of its own needs another. */
async function open({ tuned, folder, name }: Measuring, base: string): Promise<[Opened, Opened]> {
  const directory = resolve(folder, tuned.directory)
  if (tuned.kind === 'model') {
    const [before, after] = await Promise.all([loadEngine(base), loadEngine(directory)])
    return [named(before), named(after)]
  }
  const engine = await loadEngine(base, { adapters: [{ name, location: directory }] })
  return [named(engine), named(engine, `${engine.model.id}:${name}`)]
}

/** Asks the engine for its model, or for one of its adapters. */
function named(engine: Engine, model?: string): Opened {
  const asked = model === undefined ? {} : { model }
  return {
    engine,
    name: model ?? engine.name,
    model: { ...engine.model, ...(model !== undefined && { id: model }) },
    chat: (request, options) => engine.chat({ ...request, ...asked }, options),
    ...(engine.score && { score: (request, options) => engine.score!({ ...request, ...asked }, options) }),
    ...(engine.tokenize && { tokenize: engine.tokenize.bind(engine) }),
    ...(engine.detokenize && { detokenize: engine.detokenize.bind(engine) }),
  }
}

async function compareOn(
  { home, flags: { eval: tasks, limit } }: Measuring,
  before: Opened,
  after: Opened,
  signal: AbortSignal,
): Promise<Pair[]> {
  if (tasks === undefined) return []
  const load = {
    cache: new DataCache(join(ownCache(process.env), 'data')),
    web: new Web({ signal }),
    env: process.env,
  }
  const benchmarks: Benchmark[] = []
  for (const word of new Set(tasks.split(','))) {
    const task = taskNamed(word.trim())
    benchmarks.push({ task, data: await loadData(task, task.shots, load) })
  }
  const scores = async (backend: Opened, folder: string): Promise<Map<string, number>> => {
    const shown = showRun(`Evaluating ${backend.name}`)
    const model = { id: backend.model.id, backend: backend.name }
    const options = { benchmarks, backend, model, folder, seed: SEED, signal, onProgress: shown.onProgress }
    await runBenchmarks({ ...options, ...(limit !== undefined && { limit }) }).finally(() => shown.end())
    const { summary } = await writeReport(await openRun(folder))
    return new Map(summary.results.map(({ title, figures }) => [title, figures[0]?.value ?? Number.NaN]))
  }
  const [first, second] = [
    await scores(before, join(home, 'eval-before')),
    await scores(after, join(home, 'eval-after')),
  ]
  return [...first].map(([title, value]) => ({
    name: title,
    before: value,
    after: second.get(title) ?? Number.NaN,
  }))
}
