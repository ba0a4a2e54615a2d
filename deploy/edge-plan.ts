/** What an edge handler takes: memory of its model, instances, and money where it runs on processors alone. */
import { FacetError } from '../src/errors.ts'
import { formatBytes, type MemoryPlan, planMemory } from '../src/gemma/memory-plan.ts'
import { type Model, modelOf } from './models.ts'
import { CLOUD_RUN_PRICE } from './prices.ts'
import type { Source } from './profiles.ts'
import type { CloudRunSpec, WorkersSpec } from './spec.ts'
import type { Speed } from './speed.ts'

/** US dollars an hour of instances that answer; an instance that waits costs nothing. */
export interface CpuCost {
  readonly hour: { readonly min: number; readonly max: number }
  readonly millionTokens?: number
}

export interface CpuPlan {
  readonly kind: 'cpu'
  readonly name: string
  readonly spec: CloudRunSpec | WorkersSpec
  /** Undefined where a directory on this machine says what it is, or where nothing is computed. */
  readonly model?: Model
  readonly contextTokens?: number
  /** Answers at the same time in one instance. */
  readonly slots?: number
  readonly memory?: MemoryPlan
  readonly instance: {
    readonly vcpus?: number
    readonly memoryBytes: number
    readonly min: 0
    readonly max?: number
  }
  readonly speed?: Speed
  readonly cost?: CpuCost
}

const GIB = 1024 ** 3
/** Node.js, the handler and its buffers. */
const PROCESS_BYTES = 0.5 * GIB
/** A WebAssembly memory holds 65,536 pages of 64 KiB. */
const WASM_BYTES = 4 * GIB
const CLOUD_RUN_GIB = 32
const VCPUS = 8
const SLOTS = 2
const CONTEXT_TOKENS = 4096
const MAX_INSTANCES = 4
/** Bytes a second that a vCPU was seen to read weights at (two cores, DDR5): decoding is bound by it. */
const READ_BYTES_PER_SECOND = 12e9
const READING: Source = {
  what: 'one answer alone, bound by reading the weights at 12 GB/s a core, as a 2-core AMD EPYC does',
  date: '2026-08',
}

/** @throws FacetError out_of_memory with the figures */
export function planCloudRun(name: string, spec: CloudRunSpec): CpuPlan {
  const model = modelOf(spec.model)!
  const contextTokens = Math.min(spec.contextTokens ?? CONTEXT_TOKENS, model.config.contextTokens)
  const slots = Math.min(spec.concurrency ?? SLOTS, SLOTS)
  const memory = planMemory(model.config, {
    quantization: { bits: 4, blockSize: 32 },
    contextTokens,
    sequences: slots,
  })
  const field = { field: 'model' }
  if (memory.total > WASM_BYTES) {
    throw new FacetError(
      'out_of_memory',
      `${model.id} in 4 bits takes ${formatBytes(memory.total, 1024)} with ${slots} contexts of ${contextTokens} tokens, and WebAssembly holds 4 GiB; take gemma-2b-it, a shorter context, or a target with accelerators.`,
      field,
    )
  }
  const needed = Math.ceil((memory.total + PROCESS_BYTES) / GIB)
  const memoryGiB = spec.memoryGiB ?? Math.max(needed, leastMemoryGiB(spec.vcpus ?? VCPUS))
  if (memoryGiB < needed || needed > CLOUD_RUN_GIB) {
    throw new FacetError(
      'out_of_memory',
      `memoryGiB is ${memoryGiB}, but ${model.id} in 4 bits takes ${formatBytes(memory.total, 1024)} and the server half a GiB; take ${needed} or more.`,
      { field: 'memoryGiB' },
    )
  }
  const vcpus = spec.vcpus ?? VCPUS
  const instances =
    spec.maxInstances ?? Math.max(MAX_INSTANCES, Math.ceil((spec.concurrency ?? SLOTS) / slots))
  const hour = 3600 * (vcpus * CLOUD_RUN_PRICE.vcpuSecond + memoryGiB * CLOUD_RUN_PRICE.gibSecond)
  // Whoever decodes reads every weight once a token; more than four cores seldom read faster.
  const tokensPerSecond = (Math.min(vcpus, 4) * READ_BYTES_PER_SECOND) / memory.weights.total
  return {
    kind: 'cpu',
    name,
    spec,
    model,
    contextTokens,
    slots,
    memory,
    instance: { vcpus, memoryBytes: memoryGiB * GIB, min: 0, max: instances },
    speed: { tokensPerSecond: Math.round(tokensPerSecond), kind: 'estimate', source: READING },
    cost: {
      hour: { min: 0, max: hour * instances },
      millionTokens: hour / ((tokensPerSecond * 3600) / 1e6),
    },
  }
}

/** Cloud Run wants at least so much memory with so many processors. */
function leastMemoryGiB(vcpus: number): number {
  if (vcpus > 6) return 4
  return vcpus > 2 ? 2 : 1
}

const WORKER_BYTES = 128e6

/** What a Worker holds is read from the directory when it is deployed; here only what cannot be. */
export function planWorkers(name: string, spec: WorkersSpec): CpuPlan {
  if (spec.mode === 'model' && spec.modelDirectory === undefined) {
    throw new FacetError(
      'invalid_request',
      'modelDirectory is missing: mode model serves a small model directory from the Worker; name it, or choose mode gateway.',
      { field: 'modelDirectory' },
    )
  }
  return { kind: 'cpu', name, spec, instance: { memoryBytes: WORKER_BYTES, min: 0 } }
}
