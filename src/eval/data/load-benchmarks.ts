/** Brings the data of several tasks here, one after another. */
import type { Benchmark } from '../run-benchmarks.ts'
import type { Task } from '../task.ts'
import { type LoadOptions, loadData } from './load.ts'

export interface WantedBenchmark {
  readonly task: Task
  /** Solved examples before each question; undefined: what the task says. */
  readonly shots?: number | undefined
}

/** @throws FacetError as `loadData` does */
export async function loadBenchmarks(
  wanted: readonly WantedBenchmark[],
  source: LoadOptions,
): Promise<Benchmark[]> {
  const benchmarks: Benchmark[] = []
  for (const { task, shots = task.shots } of wanted) {
    benchmarks.push({ task, shots, data: await loadData(task, shots, source) })
  }
  return benchmarks
}
