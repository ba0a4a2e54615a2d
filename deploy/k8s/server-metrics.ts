/** What each version of a model server calls its metrics, and where it shows them. */
import { FacetError } from '../../src/errors.ts'
import { JETSTREAM_FRONT, JETSTREAM_METRICS_PORT } from './jetstream.ts'
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
  /** Histogram: seconds to the first token. */
  readonly firstToken?: string
  /** Counter of answered calls by `handler`, the path, and `status`, such as `5xx`. */
  readonly answered?: string
  /** Name of the container whose log has a line for each answer, where no metric counts those that fail. */
  readonly accessLog?: string
  /** Counter: requests that ended well. */
  readonly finished?: string
  /** Counter: generated tokens. */
  readonly generated?: string
}

type Version = readonly [major: number, minor: number]

/**
 * The newest entry whose version is not above the server's holds. An autoscaler on a metric that is not
 * there never scales and says so only in its conditions, so a version before the first is refused.
 * vLLM: gpu_cache_usage_perc was renamed in 0.10 and is hidden from 0.11 on (vllm#18354, vllm#29330); HTTP
 * answers are counted since 0.8.3 (vllm#15657, vllm#15894).
 */
const VLLM: readonly { readonly since: Version; readonly cacheShare: string; readonly answered?: string }[] =
  [
    { since: [0, 6], cacheShare: 'vllm:gpu_cache_usage_perc' },
    { since: [0, 9], cacheShare: 'vllm:gpu_cache_usage_perc', answered: 'http_requests_total' },
    { since: [0, 10], cacheShare: 'vllm:kv_cache_usage_perc', answered: 'http_requests_total' },
  ]

/** @throws FacetError invalid_request for an image whose version, or the names of its metrics, are not known */
export function toServerMetrics({ server, image }: Pick<Serving, 'server' | 'image'>): ServerMetrics {
  switch (server) {
    case 'vllm': {
      const version = toVersion(toImageTag(image))
      const known = VLLM.findLast(({ since }) => !isBefore(version, since))
      if (!known)
        throw new FacetError(
          'invalid_request',
          `image is vLLM ${version.join('.')}, whose metrics are not known; take 0.6 or later.`,
          { field: 'image' },
        )
      const { since: _, ...names } = known
      return {
        port: 'http',
        portNumber: 8000,
        waiting: 'vllm:num_requests_waiting',
        firstToken: 'vllm:time_to_first_token_seconds',
        finished: 'vllm:request_success_total',
        generated: 'vllm:generation_tokens_total',
        ...names,
      }
    }
    case 'tensorrt-llm':
      return {
        port: 'metrics',
        portNumber: TRITON_METRICS_PORT,
        waiting: 'nv_trt_llm_request_metrics',
        waitingLabels: { request_type: 'waiting' },
        cacheShare: 'nv_trt_llm_kv_cache_block_metrics',
        finished: 'nv_inference_request_success',
      }
    default:
      return {
        port: 'metrics',
        portNumber: JETSTREAM_METRICS_PORT,
        waiting: 'jetstream_prefill_backlog_size',
        cacheShare: 'jetstream_slots_used_percentage',
        // Since 0.3; of images before it errors alone are known.
        firstToken: 'jetstream_time_to_first_token',
        accessLog: JETSTREAM_FRONT,
        finished: 'jetstream_request_success_count_total',
        generated: 'jetstream_request_output_length_sum',
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
