/** Benchmarks for the commands that ask their questions: from a folder, or downloaded once and kept. */
import { join } from 'node:path'
import { DataCache } from '../eval/data/cache.ts'
import { type LoadOptions, loadData } from '../eval/data/load.ts'
import type { Benchmark } from '../eval/run-benchmarks.ts'
import type { Task } from '../eval/task.ts'
import { ownCache } from '../pull/cache.ts'
import { Web } from '../pull/web.ts'

/** @param folder that the user named; undefined: the cache, and the web for what it lacks */
export function benchmarkSource(signal: AbortSignal, folder: string | undefined): LoadOptions {
  return {
    cache: new DataCache(join(ownCache(process.env), 'data')),
    web: new Web({ signal }),
    env: process.env,
    ...(folder !== undefined && { folder }),
  }
}

/**
 * @param shots solved examples before each question; undefined: what each task says
 * @throws FacetError as `loadData` does
 */
export async function loadBenchmarks(
  tasks: readonly Task[],
  source: LoadOptions,
  shots?: number,
): Promise<Benchmark[]> {
  const benchmarks: Benchmark[] = []
  for (const task of tasks) {
    const wanted = shots ?? task.shots
    benchmarks.push({ task, shots: wanted, data: await loadData(task, wanted, source) })
  }
  return benchmarks
}
