/** Measures a model as a stored run was measured: the same tasks, questions, shots and way of asking. */

import { FacetError } from '../errors.ts'
import type { LoadOptions } from '../eval/data/load.ts'
import { loadBenchmarks } from '../eval/data/load-benchmarks.ts'
import type { StoredRun } from '../eval/kinds.ts'
import type { RunProgress } from '../eval/run.ts'
import { type BenchmarkSettings, runBenchmarks } from '../eval/run-benchmarks.ts'
import type { ModelSettings } from '../eval/summary.ts'
import { taskNamed } from '../eval/tasks/tasks.ts'
import type { Backend } from '../types.ts'

export interface RemeasureOptions {
  readonly backend: Backend
  readonly model: ModelSettings
  /** Where the run is written; one that was broken off goes on. */
  readonly folder: string
  readonly load: LoadOptions
  readonly signal: AbortSignal
  readonly onProgress?: (progress: RunProgress) => void
}

/** @returns the run's folder. @throws FacetError invalid_request (no benchmark run), unavailable (questions without an answer) */
export async function remeasure(baseline: StoredRun, options: RemeasureOptions): Promise<string> {
  const { backend, model, folder, load, signal, onProgress } = options
  if (baseline.settings.kind !== 'benchmark') {
    throw new FacetError(
      'invalid_request',
      `${baseline.path} is a ${baseline.settings.kind} run; give one of facet eval run as the baseline.`,
      { field: 'baseline' },
    )
  }
  const { tasks, seed, method, chat, samples, temperature } = baseline.settings as BenchmarkSettings
  const wanted = tasks.map(({ name, shots = 0 }) => {
    const task = taskNamed(name)
    // Those that always stand there are no choice.
    return { task, shots: Math.max(0, shots - (task.preambleShots ?? 0)) }
  })
  const benchmarks = await loadBenchmarks(wanted, load)
  // A task with fewer questions than this gives all it has.
  const limit = Math.max(...tasks.map((task) => task.samples))
  const { failures } = await runBenchmarks({
    benchmarks,
    backend,
    model,
    folder,
    seed,
    limit,
    method,
    chat,
    signal,
    ...(temperature !== undefined && samples !== undefined && { sampling: { temperature, samples } }),
    ...(onProgress && { onProgress }),
  })
  if (failures.length === 0) return folder
  throw new FacetError(
    'unavailable',
    `${failures.length} questions were not answered, the first because: ${failures[0]!.message} Run it again to ask them anew.`,
  )
}
