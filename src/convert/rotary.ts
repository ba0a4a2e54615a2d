/** The tables of rotary position angles that GroupQueryAttention looks up. */
import type { GemmaConfig } from '../gemma/config.ts'

export interface RotaryTables {
  /** Each (positions, head_dim / 2), row-major. */
  readonly cos: Float32Array<ArrayBuffer>
  readonly sin: Float32Array<ArrayBuffer>
}

/**
 * cos and sin of position * theta^(-2i / head_dim), every step rounded to float32 as transformers
 * does: in bfloat16 neighbouring positions would fall together.
 */
export function rotaryTables(config: GemmaConfig): RotaryTables {
  const { contextTokens, headDim, layers } = config
  const { ropeTheta, ropeFactor } = layers[0]!
  const half = headDim / 2
  const cos = new Float32Array(contextTokens * half)
  const sin = new Float32Array(contextTokens * half)
  for (let i = 0; i < half; i++) {
    const frequency = Math.fround(
      Math.fround(1 / Math.fround(ropeTheta ** Math.fround((2 * i) / headDim))) / ropeFactor,
    )
    for (let position = 0; position < contextTokens; position++) {
      const angle = Math.fround(position * frequency)
      cos[position * half + i] = Math.cos(angle)
      sin[position * half + i] = Math.sin(angle)
    }
  }
  return { cos, sin }
}
