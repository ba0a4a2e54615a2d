/** `gemfacet/config`: what stands in facet.config.ts. Types, `defineConfig`, and the router it describes. */
import type { DeploymentSpec } from '../../deploy/spec.ts'
import type { BreakerOptions, HedgeOptions } from '../route/options.ts'
import type { Policy } from '../route/policy.ts'
import type { TuneSpec } from '../tune/job/spec.ts'
import type { Feature, Price, ServerKind, Timeouts } from '../types.ts'
import type { VertexEndpoint, VertexProtocol } from '../vertex/endpoint.ts'

export { type BackendContext, createBackends, createRouter } from './backends.ts'

interface Declared {
  /** The id clients ask for; by default what the server or the file says. */
  readonly model?: string
  /** Its rank, the smallest model first. */
  readonly tier?: number
  /** Money per million tokens. */
  readonly price?: Price
  readonly features?: readonly Feature[]
  readonly contextTokens?: number
  readonly timeouts?: Partial<Timeouts>
}

/** Any server that speaks OpenAI's API. */
export interface HttpEndpoint extends Declared {
  readonly type: 'http'
  /** Ends before `/chat/completions`. */
  readonly baseURL: string
  /** Name of the environment variable that holds the key. */
  readonly apiKeyEnv?: string
  /** What runs there, where it matters. Default: openai. */
  readonly server?: ServerKind
  /** Of the Inference Gateway: the InferenceObjective that ranks the requests. */
  readonly objective?: string
}

/** A model deployed on Vertex AI. */
export interface VertexEndpointConfig extends Declared {
  readonly type: 'vertex'
  readonly endpoint: VertexEndpoint
  readonly protocol?: VertexProtocol
  readonly stream?: boolean
  /** Name of the environment variable that holds a Google credential file's JSON. Default: see docs/google.md. */
  readonly credentialsEnv?: string
  readonly quotaProject?: string
  readonly baseURL?: string
}

/** Gemini, or a tuned endpoint with Gemini's schema; on Node.js only, with @google-cloud/vertexai installed. */
export interface GeminiEndpoint extends Declared {
  readonly type: 'gemini'
  readonly project: string
  readonly location: string
  /** For example `gemini-2.5-pro`, or `projects/…/locations/…/endpoints/ID`. */
  readonly model: string
  /** As with vertex. */
  readonly credentialsEnv?: string
  readonly apiEndpoint?: string
}

/** A model directory, computed in this process. */
export interface LocalEndpoint extends Declared {
  readonly type: 'local'
  /** Relative to the configuration file. */
  readonly directory: string
  readonly engine?: 'wasm' | 'webgpu' | 'ort' | 'reference'
  readonly threads?: number
  readonly slots?: number
  /** LoRA adapters by name: directories, relative to the configuration file, or names on Hugging Face. */
  readonly adapters?: Readonly<Record<string, string>>
}

/** What a deployment of this name has written into `.facet/endpoints.json`, with what is declared here. */
export interface DeployedEndpoint extends Declared {
  readonly type: 'deployed'
  readonly apiKeyEnv?: string
  /** As with vertex, for what is deployed on Google Cloud. */
  readonly credentialsEnv?: string
}

export type EndpointConfig =
  | HttpEndpoint
  | VertexEndpointConfig
  | GeminiEndpoint
  | LocalEndpoint
  | DeployedEndpoint

export interface RouterConfig {
  /** Names of endpoints, the preferred one first. Default: as they stand, deployed ones last. */
  readonly order?: readonly string[]
  /** Who is asked first: one of the ready policies by name, or a function. Default: ordered. */
  readonly policy?: 'ordered' | 'weighted' | 'tier' | 'price' | 'latency' | 'sticky' | Policy
  /** Of the policy weighted, by name. */
  readonly weights?: Readonly<Record<string, number>>
  /** Small models first, larger ones where they do not suffice; instead of a policy. */
  readonly escalation?: {
    readonly maxPromptTokens?: number
    readonly maxAnswerTokens?: number
    readonly minConfidence?: number
    readonly holdTokens?: number
  }
  readonly timeouts?: Partial<Timeouts>
  readonly maxAttempts?: number
  readonly attemptsPerBackend?: number
  readonly patienceMs?: number
  readonly hedge?: boolean | HedgeOptions
  readonly breaker?: BreakerOptions
  readonly budget?: { readonly tokens?: number; readonly money?: number; readonly windowMs: number }
}

export interface FacetConfig {
  /** By names of your own, which errors and figures use. */
  readonly endpoints?: Readonly<Record<string, EndpointConfig>>
  readonly router?: RouterConfig
  /** What `facet plan` and `facet up` act on, by names of your own, which name what is made. */
  readonly deployments?: Readonly<Record<string, DeploymentSpec>>
  /** What `facet tune` acts on, by names of your own; see docs/tuning.md. */
  readonly tunings?: Readonly<Record<string, TuneSpec>>
}

/** Gives the configuration back; it is there for the editor, which then knows the types. */
export function defineConfig(config: FacetConfig): FacetConfig {
  return config
}
