/** Opens Vertex AI for a plan, with Google's clients and Facet's sign-in. */
import type { v1beta1 } from '@google-cloud/aiplatform'
import type { CloudQuotasClient } from '@google-cloud/cloudquotas'
import { applicationDefault } from '../../src/google/node.ts'
import type { TokenSource } from '../../src/types.ts'
import type { CanaryTarget } from '../canary.ts'
import { fromEnvironment } from '../environment.ts'
import type { SecretOf } from '../gke.ts'
import { SignIn } from '../google/ask.ts'
import { Rest } from '../google/rest.ts'
import { peer } from '../peer.ts'
import type { Plan } from '../plan.ts'
import type { Operations } from '../state.ts'
import type { Target } from '../target.ts'
import type { VertexPlan } from '../vertex.ts'
import type { Clock } from '../waiting.ts'
import { VertexApi, type VertexClients } from './api.ts'
import { VertexCanary } from './canary.ts'
import { compareQuota } from './quota.ts'
import { type VertexOptions, VertexTarget } from './target.ts'

export type ClientOptions = NonNullable<ConstructorParameters<typeof v1beta1.EndpointServiceClient>[0]>

export interface OpenOptions {
  readonly plan: VertexPlan
  readonly operations: Operations
  readonly secretOf: SecretOf
  readonly onWarning: (warning: string) => void
  /** Default: application-default credentials. */
  readonly tokens?: TokenSource
  /** For the constructors of Google's clients, beside the sign-in. */
  readonly google?: (signIn: SignIn) => ClientOptions
  readonly fetch?: typeof globalThis.fetch
  readonly clock?: Clock
  /** Of one try of one call. */
  readonly callMs?: number
}

/** @throws FacetError unsupported where @google-cloud/aiplatform is not installed */
export async function openVertex(plan: Plan, operations: Operations): Promise<Target<Plan>> {
  return new VertexTarget(await openOptions(defaults(plan, operations))) as unknown as Target<Plan>
}

export async function openVertexCanary(plan: Plan, operations: Operations): Promise<CanaryTarget> {
  return new VertexCanary(await openOptions(defaults(plan, operations)))
}

function defaults(plan: Plan, operations: Operations): OpenOptions {
  const onWarning = (warning: string): void => void process.stderr.write(`Warning: ${warning}\n`)
  // Only plans of Vertex AI's targets are opened here.
  return { plan: plan as VertexPlan, operations, secretOf: fromEnvironment, onWarning }
}

export async function openOptions(options: OpenOptions): Promise<VertexOptions> {
  const { plan, operations, secretOf, onWarning, google = optionsOf, fetch, clock, callMs } = options
  const tokens = options.tokens ?? (await applicationDefault())
  const signIn = new SignIn(tokens)
  const own = google(signIn)
  const apiEndpoint = `${plan.spec.region}-aiplatform.googleapis.com`
  const shared = { ...(clock && { clock }), ...(callMs !== undefined && { callMs }) }
  const rest = new Rest({ tokens, ...(fetch && { fetch }), ...(clock && { clock }) })
  return {
    plan,
    api: new VertexApi(await openClients({ apiEndpoint, ...own }), { signIn, ...shared }),
    rest,
    tokens,
    operations,
    secretOf,
    checkQuota: async (wanted, signal) => {
      const client = await openQuotas(own)
      try {
        await compareQuota(wanted, { client, rest, onWarning, asking: { signIn, signal, ...shared } })
      } finally {
        await client.close()
      }
    },
    ...(fetch && { fetch }),
  }
}

/** Of Google's class only what SignIn has is used. */
export function optionsOf(signIn: SignIn): ClientOptions {
  return { authClient: signIn as unknown as NonNullable<ClientOptions['authClient']> }
}

async function openClients(options: ClientOptions): Promise<VertexClients> {
  const { v1beta1: api, protos } = await peer(
    '@google-cloud/aiplatform',
    'Deploying to Vertex AI',
    () => import('@google-cloud/aiplatform'),
  )
  return {
    endpoints: new api.EndpointServiceClient(options),
    models: new api.ModelServiceClient(options),
    garden: new api.ModelGardenServiceClient(options),
    types: protos.google.cloud.aiplatform.v1beta1,
  }
}

async function openQuotas(options: ClientOptions): Promise<CloudQuotasClient> {
  const { CloudQuotasClient } = await peer(
    '@google-cloud/cloudquotas',
    'Comparing quotas',
    () => import('@google-cloud/cloudquotas'),
  )
  // This client brings an older copy of the same library.
  return new CloudQuotasClient(options as unknown as ConstructorParameters<typeof CloudQuotasClient>[0])
}
