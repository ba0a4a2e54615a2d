/** Where the commands that ask benchmarks have their questions from: a folder, or downloaded once and kept. */
import { join } from 'node:path'
import { DataCache } from '../eval/data/cache.ts'
import type { LoadOptions } from '../eval/data/load.ts'
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
