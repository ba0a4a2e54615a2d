/** What each version of a model server calls its metrics, and where it shows them. */
import { FacetError } from '../../src/errors.ts'
import { JETSTREAM_METRICS_PORT } from './jetstream.ts'
import { type Serving, toImageTag } from './serving.ts'
import { TRITON_METRICS_PORT } from './tensorrt-llm.ts'

export interface ServerMetrics {
  /** Name of the container port that answers `/metrics`. */
  readonly port: 'http' | 'metrics'
  readonly portNumber: number
  /** Gauge: requests that wait for a place in the batch. */
  readonly waiting: string
  /** Labels that pick it out where one name serves several gauges. */
  readonly waitingLabels?: Readonly<Record<string, string>>
  /** Gauge: share of the KV cache that is in use, 0 to 1. */
  readonly cacheShare: string
}

type Version = readonly [major: number, minor: number]

/**
 * The newest entry whose version is not above the server's holds. An autoscaler on a metric that is not
 * there never scales and says so only in its conditions, so a version before the first is refused.
 * vLLM: gpu_cache_usage_perc was renamed in 0.10 and is hidden from 0.11 on (vllm#18354, vllm#29330).
 */
const VLLM: readonly { readonly since: Version; readonly cacheShare: string }[] = [
  { since: [0, 6], cacheShare: 'vllm:gpu_cache_usage_perc' },
  { since: [0, 10], cacheShare: 'vllm:kv_cache_usage_perc' },
]

export function toServerMetrics(serving: Serving): ServerMetrics {
  switch (serving.server) {
    case 'vllm': {
      const version = toVersion(toImageTag(serving.image))
      const known = VLLM.findLast(({ since }) => !isBefore(version, since))
      if (!known)
        throw new FacetError(
          'invalid_request',
          `image is vLLM ${version.join('.')}, whose metrics are not known; take 0.6 or later.`,
          { field: 'image' },
        )
      const { cacheShare } = known
      return { port: 'http', portNumber: 8000, waiting: 'vllm:num_requests_waiting', cacheShare }
    }
    case 'tensorrt-llm':
      return {
        port: 'metrics',
        portNumber: TRITON_METRICS_PORT,
        waiting: 'nv_trt_llm_request_metrics',
        waitingLabels: { request_type: 'waiting' },
        cacheShare: 'nv_trt_llm_kv_cache_block_metrics',
      }
    default:
      return {
        port: 'metrics',
        portNumber: JETSTREAM_METRICS_PORT,
        waiting: 'jetstream_prefill_backlog_size',
        cacheShare: 'jetstream_slots_used_percentage',
      }
  }
}

function toVersion(tag: string): Version {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(tag) ?? []
  if (major !== undefined && minor !== undefined) return [Number(major), Number(minor)]
  throw new FacetError(
    'invalid_request',
    `image must have a version as its tag, so that the names of its metrics are known, but the tag is ${tag}.`,
    { field: 'image' },
  )
}

function isBefore([major, minor]: Version, [sinceMajor, sinceMinor]: Version): boolean {
  return major < sinceMajor || (major === sinceMajor && minor < sinceMinor)
}
