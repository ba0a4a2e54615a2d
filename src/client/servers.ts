/** `gemfacet/servers`: what a client should know about the server behind its address. */
import { FacetError } from '../errors.ts'
import type { ClientOptions } from './options.ts'

/**
 * vLLM tells its token counts with every piece when asked, so that answers which are left or cut are
 * counted exactly: `createClient(vllm({ baseURL }))`.
 */
export function vllm(options: ClientOptions): ClientOptions {
  const streaming = { include_usage: true, continuous_usage_stats: true }
  return { ...options, extraBody: { stream_options: streaming, ...options.extraBody } }
}

export interface InferenceGatewayOptions {
  /** The InferenceObjective that says how important the requests are. */
  readonly objective?: string
  /** Requests of one such id share what there is fairly with those of others. */
  readonly fairnessId?: string
}

/**
 * GKE Inference Gateway before vLLM: it chooses the servers by the model that the body names.
 *
 * @throws FacetError invalid_request without a model
 */
export function inferenceGateway(options: ClientOptions, own: InferenceGatewayOptions = {}): ClientOptions {
  if (!options.model) {
    throw new FacetError('invalid_request', 'model is missing; the Inference Gateway routes by its name.', {
      field: 'model',
    })
  }
  const { objective, fairnessId } = own
  const headers = {
    ...(objective !== undefined && { 'x-gateway-inference-objective': objective }),
    ...(fairnessId !== undefined && { 'x-gateway-inference-fairness-id': fairnessId }),
  }
  return { ...vllm(options), headers: { ...headers, ...options.headers } }
}
