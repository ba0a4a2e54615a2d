/** How fast a replica answers: what was published where it was, an estimate from bandwidth and FLOPs elsewhere. */
import { countParameters } from '../src/gemma/memory-plan.ts'
import type { Replica, ReplicaMemory } from './memory.ts'
import type { AcceleratorName, Source } from './profiles.ts'
import type { Dtype, ServerName } from './servers.ts'

export interface Traffic {
  readonly promptTokens: number
  readonly completionTokens: number
}

export interface Speed {
  /** Generated tokens a second, all sequences of a replica together. */
  readonly tokensPerSecond: number
  /** published: somebody measured it, under their own load. */
  readonly kind: 'published' | 'estimate'
  readonly source: Source
}

/** Shares of the data sheet that a good server reaches in the long run: an estimate, on the careful side. */
const BANDWIDTH_SHARE = 0.5
const FLOPS_SHARE = 0.35

const JETSTREAM: Source = { what: 'jetstream-pytorch benchmarks', date: '2026-08' }

interface Published {
  readonly model: string
  readonly server: ServerName
  readonly accelerator: AcceleratorName
  readonly devices: number
  readonly dtype: Dtype
  readonly tokensPerSecond: number
}

const PUBLISHED: readonly Published[] = [
  { model: 'gemma-7b', dtype: 'bf16', devices: 8, tokensPerSecond: 3236 },
  { model: 'gemma-7b', dtype: 'int8', devices: 8, tokensPerSecond: 4695 },
  { model: 'gemma-2b', dtype: 'bf16', devices: 8, tokensPerSecond: 8700 },
  { model: 'gemma-2b', dtype: 'bf16', devices: 1, tokensPerSecond: 4249 },
].map((row) => ({ ...row, dtype: row.dtype as Dtype, server: 'jetstream', accelerator: 'tpu-v5e' }) as const)

/** What was measured of a full replica of exactly this kind, if anybody did. */
export function publishedSpeed(model: string, replica: Replica): Speed | undefined {
  const found = PUBLISHED.find(
    (row) =>
      row.model === model &&
      row.server === replica.server.name &&
      row.accelerator === replica.accelerator.name &&
      row.devices === replica.devices &&
      row.dtype === replica.dtype,
  )
  return found && { tokensPerSecond: found.tokensPerSecond, kind: 'published', source: JETSTREAM }
}

const ESTIMATE: Source = {
  what: `roofline: ${BANDWIDTH_SHARE * 100}% of the bandwidth, ${FLOPS_SHARE * 100}% of the FLOPs, prefill included`,
  date: 'computed',
}

/**
 * A decode step reads the weights once and every sequence's keys and values; a prefill is bound by products.
 *
 * @param sequences that run at once in a replica
 */
export function estimateSpeed(
  replica: Replica,
  memory: ReplicaMemory,
  traffic: Traffic,
  sequences: number,
): Speed {
  const { accelerator, config, devices } = replica
  const flopsPerToken = 2 * countParameters(config).total
  const flops = accelerator.flops * devices * FLOPS_SHARE
  const held = traffic.promptTokens + traffic.completionTokens / 2
  const bytes = memory.weightBytes + sequences * held * memory.kvBytesPerToken
  const stepSeconds = Math.max(
    bytes / (accelerator.bandwidthBytesPerSecond * BANDWIDTH_SHARE),
    (sequences * flopsPerToken) / flops,
  )
  const prefillSeconds = (sequences * traffic.promptTokens * flopsPerToken) / flops
  const seconds = traffic.completionTokens * stepSeconds + prefillSeconds
  const tokensPerSecond = Math.round((sequences * traffic.completionTokens) / seconds)
  return { tokensPerSecond, kind: 'estimate', source: ESTIMATE }
}
