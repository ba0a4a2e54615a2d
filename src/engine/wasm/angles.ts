/** Rotary angles of the tokens of a pass, in float32 as transformers computes them. */
import type { GemmaConfig } from '../../gemma/config.ts'
import type { Layout } from './layout.ts'
import type { LinearMemory } from './memory.ts'

/** Cosines and sines of token `t` of `total` at `position`, for each rotary base. */
export function fillAngles(
  memory: LinearMemory,
  layout: Layout,
  { headDim }: GemmaConfig,
  t: number,
  total: number,
  position: number,
): void {
  const half = headDim / 2
  for (const [rope, { theta, factor }] of layout.ropes.entries()) {
    const at = layout.angles / 4 + (rope * total + t) * headDim
    for (let i = 0; i < half; i++) {
      const frequency = Math.fround(1 / Math.fround(theta ** ((2 * i) / headDim)) / factor)
      const angle = Math.fround(position * frequency)
      memory.f32[at + i] = Math.cos(angle)
      memory.f32[at + half + i] = Math.sin(angle)
    }
  }
}
