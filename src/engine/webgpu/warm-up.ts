/** How long the products of a few layers take on this device, for choosing what they are cut into. */
import { Chain, type ChainParts, type Width } from './chain.ts'
import type { Gpu } from './device.ts'
import { MANY } from './job.ts'
import { Compiler } from './program.ts'
import type { Arithmetic } from './tile.ts'
import type { Measure } from './tuning.ts'

/** Enough layers that their weights do not stay in the GPU's caches. */
const LAYERS = 8
/** The shortest of so many counts: others wait for clocks to rise, or for another program. */
const RUNS = 4

/** @param now milliseconds */
export function measuringOn(gpu: Gpu, parts: Omit<ChainParts, 'tuning'>, now: () => number): Measure {
  const compiler = new Compiler(gpu)
  return async (tuning, width: Width) => {
    const program = await compiler.program(new Chain({ ...parts, tuning }, width).probe(LAYERS))
    const tokens = width === 'many' ? MANY : width
    // Rows beyond the job's tokens are computed, but not kept.
    gpu.device.queue.writeBuffer(parts.memory.working.job, 0, Uint32Array.of(tokens))
    let least = Number.POSITIVE_INFINITY
    for (let run = 0; run < RUNS; run++) {
      const encoder = gpu.device.createCommandEncoder()
      const pass = encoder.beginComputePass()
      program.encode(pass, { tokens, rows: 0, splits: 1, choices: 0 })
      pass.end()
      await gpu.device.queue.onSubmittedWorkDone()
      const startMs = now()
      gpu.device.queue.submit([encoder.finish()])
      await gpu.device.queue.onSubmittedWorkDone()
      least = Math.min(least, now() - startMs)
    }
    gpu.check()
    return least
  }
}

/** Names the adapter and what its tuning depends on besides. */
export function tuningKey(
  { device, adapterName }: Gpu,
  { config, plan }: Omit<ChainParts, 'tuning'>,
  arithmetics: readonly Arithmetic[],
): string {
  const { vendor, architecture, device: model } = device.adapterInfo
  const { hiddenSize, intermediateSize } = config
  const adapter = [vendor, architecture, model, adapterName]
  const bits = new Set([...plan.matrices.values()].map((matrix) => matrix.bits))
  const stored = [...bits].toSorted().join('+')
  return [...adapter, hiddenSize, intermediateSize, stored, arithmetics.join('+')].join('/')
}
