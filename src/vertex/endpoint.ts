/** Where an endpoint of Vertex AI answers: its addresses out of its own fields. */
import { FacetError } from '../errors.ts'

/** As the API's Endpoint resource has it; more fields do no harm. */
export interface VertexEndpoint {
  /** `projects/{project}/locations/{region}/endpoints/{id}`. */
  readonly name: string
  readonly dedicatedEndpointEnabled?: boolean
  /** Of a dedicated endpoint. Read it from the resource: it cannot be made up from the other fields. */
  readonly dedicatedEndpointDns?: string
}

/**
 * How the deployed container is reached. chat: Vertex's own chat completions. invoke: the container's own
 * paths, where the model was uploaded with invokeRoutePrefix (dedicated endpoints). raw: the container's one
 * predict route, where that speaks OpenAI's API. generate: the same, where it is vLLM's plain `/generate`.
 * predict: instances and predictions, which Google's own containers for vLLM speak.
 */
export type VertexProtocol = 'chat' | 'invoke' | 'raw' | 'generate' | 'predict'

export interface VertexAddress {
  /** @param path what OpenAI's API has below the base, for example `/chat/completions` */
  urlOf(path: string): URL
  /** Largest request Vertex takes. */
  readonly limitBytes: number
}

const NAME = /^projects\/[\w:.-]+\/locations\/([a-z0-9-]+)\/endpoints\/[\w-]+$/
const DNS = /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i
const SHARED_LIMIT_BYTES = 1_500_000
const DEDICATED_LIMIT_BYTES = 10_000_000

/**
 * @param base replaces scheme and host, for private addresses
 * @throws FacetError invalid_request, with the field
 */
export function addressOf(
  endpoint: VertexEndpoint,
  protocol: VertexProtocol,
  stream: boolean,
  base?: string,
): VertexAddress {
  const { name, dedicatedEndpointEnabled, dedicatedEndpointDns: dns } = endpoint
  const region = NAME.exec(name)?.[1]
  if (region === undefined) {
    throw bad('endpoint.name', 'must be projects/PROJECT/locations/REGION/endpoints/ID')
  }
  if (dns !== undefined && !DNS.test(dns)) {
    throw bad('endpoint.dedicatedEndpointDns', 'must be a host name, without https:// and path')
  }
  const dedicated = dedicatedEndpointEnabled ?? dns !== undefined
  if (dedicated && dns === undefined && base === undefined) {
    throw bad('endpoint.dedicatedEndpointDns', 'is missing; read it from the endpoint once it is deployed')
  }
  if (protocol === 'invoke' && !dedicated) {
    throw bad('protocol', 'must not be invoke for a shared endpoint; use chat or raw')
  }
  const host = dedicated ? dns : `${region === 'global' ? '' : `${region}-`}aiplatform.googleapis.com`
  const origin = base ?? `https://${host}`
  if (!URL.canParse(origin)) throw bad('baseURL', 'must be an address such as https://10.0.0.5')
  const at = (path: string): URL => new URL(origin.replace(/\/+$/, '') + path)
  return {
    limitBytes: dedicated ? DEDICATED_LIMIT_BYTES : SHARED_LIMIT_BYTES,
    urlOf(path) {
      if (protocol === 'invoke') return at(`/v1/${name}/invoke/v1${path}`)
      if (protocol === 'predict') return at(`/v1/${name}:predict`)
      if (protocol !== 'chat') return at(`/v1/${name}:${stream ? 'streamRawPredict' : 'rawPredict'}`)
      if (path === '/chat/completions') return at(`/v1beta1/${name}${path}`)
      throw new FacetError(
        'unsupported',
        "Vertex AI's chat completions take messages only, no raw prompt; use protocol invoke or raw.",
        { field: 'prompt' },
      )
    },
  }
}

function bad(field: string, message: string): FacetError {
  return new FacetError('invalid_request', `${field} ${message}.`, { field })
}
