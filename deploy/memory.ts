/** What a model leaves free on its devices: weights, working memory, and tokens of keys and values. */
import { FacetError } from '../src/errors.ts'
import type { GemmaConfig } from '../src/gemma/config.ts'
import { formatBytes, planMemory } from '../src/gemma/memory-plan.ts'
import type { Accelerator } from './profiles.ts'
import type { Dtype, Server } from './servers.ts'

/** Bytes of an element. */
export const DTYPE_BYTES: Readonly<Record<Dtype, number>> = { bf16: 2, fp8: 1, int8: 1 }

/** vLLM's --gpu-memory-utilization, which the others follow: the rest is the driver's and the allocator's. */
const USABLE = 0.9
/** CUDA context, NCCL and captured graphs, or the TPU runtime: an estimate. */
const RUNTIME_BYTES = 400e6
/** Tokens in one pass: vLLM's --max-num-batched-tokens with chunked prefill. */
export const PASS_TOKENS = 2048
/** A logit as the sampler holds it: float32, its sorted copy, and an int64 index. */
const SAMPLER_BYTES = 16

export interface Replica {
  readonly config: GemmaConfig
  readonly accelerator: Accelerator
  readonly server: Server
  readonly dtype: Dtype
  readonly kvDtype: 'bf16' | 'fp8'
  /** Devices of one replica, which is also its tensor parallelism. */
  readonly devices: number
  readonly maxSequences: number
}

/** Bytes are of one device. */
export interface ReplicaMemory {
  readonly usableBytes: number
  readonly weightBytes: number
  /** Activations, logits and runtime: an estimate. */
  readonly workingBytes: number
  readonly kvBytes: number
  readonly kvBytesPerToken: number
  /** Positions that all sequences of a replica share; 0 where not even the weights fit. */
  readonly kvTokens: number
}

/**
 * Weights are split evenly. Key and value heads are split too, down to one a device; from there on they are
 * copied (Gemma 2B has one). Sliding windows are not counted on: servers may or may not free what they pass.
 */
export function replicaMemory(replica: Replica): ReplicaMemory {
  const { config, accelerator, dtype, kvDtype, devices, maxSequences } = replica
  const weights = planMemory(config, { quantization: null, weightBytes: DTYPE_BYTES[dtype] }).weights
  const weightBytes = Math.ceil(weights.total / devices)
  const usableBytes = Math.floor(accelerator.memoryBytes * USABLE)
  const width = (3 * config.intermediateSize) / devices + 2 * config.hiddenSize
  // Logits are gathered: every device holds all of them.
  const sampler = maxSequences * config.vocabSize * SAMPLER_BYTES
  const workingBytes = Math.ceil(RUNTIME_BYTES + PASS_TOKENS * width * 2 + sampler)
  const kvHeads = Math.max(1, config.kvHeads / devices)
  const kvBytesPerToken = 2 * kvHeads * config.headDim * DTYPE_BYTES[kvDtype] * config.layers.length
  const kvBytes = Math.max(0, usableBytes - weightBytes - workingBytes)
  return {
    usableBytes,
    weightBytes,
    workingBytes,
    kvBytes,
    kvBytesPerToken,
    kvTokens: Math.floor(kvBytes / kvBytesPerToken),
  }
}

/** Whether a model's heads can be split over so many devices. */
function canSplit({ heads, kvHeads }: GemmaConfig, devices: number): boolean {
  return heads % devices === 0 && (kvHeads % devices === 0 || devices % kvHeads === 0)
}

/** Counts of devices over which a replica may be split, the fewest first. */
export function splits(config: GemmaConfig, accelerator: Accelerator): number[] {
  return accelerator.machines.map(({ devices }) => devices).filter((devices) => canSplit(config, devices))
}

/**
 * @throws FacetError out_of_memory with the figures, where a context does not fit; `remedies` are further
 * things that would help
 */
export function checkFits(
  model: string,
  replica: Replica,
  contextTokens: number,
  remedies: readonly string[],
): ReplicaMemory {
  const memory = replicaMemory(replica)
  if (memory.kvTokens >= contextTokens) return memory
  const { accelerator, devices, dtype } = replica
  const where = `${devices} × ${accelerator.title}`
  const weights = formatBytes(memory.weightBytes * devices, 1024)
  const usable = formatBytes(memory.usableBytes * devices, 1024)
  if (memory.kvBytes === 0) {
    throw new FacetError(
      'out_of_memory',
      `${model} in ${dtype} takes ${weights}, and ${where} has ${usable} to use, of which the server itself needs ${formatBytes(memory.workingBytes * devices, 1024)}; take ${listed(remedies)}.`,
      { field: 'devices' },
    )
  }
  throw new FacetError(
    'out_of_memory',
    `${model} in ${dtype} takes ${weights} of the ${usable} that ${where} has to use, which leaves about ${round(memory.kvTokens)} tokens of keys and values, but contextTokens is ${round(contextTokens)}; take ${listed([...remedies, `contextTokens of at most ${round(memory.kvTokens)}`])}.`,
    { field: 'contextTokens' },
  )
}

const round = (tokens: number): string => tokens.toLocaleString('en-US')

function listed(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}
