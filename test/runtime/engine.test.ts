/** The engine under Deno and Bun, from the source as it is, and under Node for comparison. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { goldenPrompts } from '../engine/golden.ts'
import type { Report } from './program.ts'
import { ROOT, RUNTIMES } from './runtimes.ts'

const PROGRAM = fileURLToPath(new URL('program.ts', import.meta.url))

describe.each(RUNTIMES)('the engine on $name', ({ command: [file, ...flags] }) => {
  it('loads from disk, answers with threads, leaves the event loop free and ends', {
    timeout: 180_000,
  }, async () => {
    const { stdout } = await promisify(execFile)(file, [...flags, PROGRAM], { cwd: ROOT })
    const { ids, texts, turns, ...rest }: Report = JSON.parse(stdout)
    expect(rest).toEqual({
      threaded: 'threads',
      alone: 'relaxed',
      progress: 1,
      aborted: 'aborted',
      missing: 'invalid_model',
    })
    // The end of the turn has no text, and so no log-probability.
    const equal = goldenPrompts.filter(
      ({ greedy_ids_int4 }, i) => ids[i]!.join() === greedy_ids_int4.slice(0, -1).join(),
    )
    expect(equal.length).toBeGreaterThanOrEqual(14)
    // A step takes as long as hundreds of empty turns; were it computed here, there would be a few.
    expect(turns).toBeGreaterThan(20 * texts)
  })
})
