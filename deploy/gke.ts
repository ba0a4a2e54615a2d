/** What GKE is sent: a plan as a serving, and its objects as resources. */
import { FacetError } from '../src/errors.ts'
import { contentHash } from './content-hash.ts'
import { clusterOf } from './gke/cluster.ts'
import { limitsOf, ratesOf } from './guard.ts'
import { toApiServerPolicy } from './k8s/access.ts'
import { type Source, toComputeClass } from './k8s/capacity.ts'
import { type RouteCanary, toBackend, toGateway } from './k8s/gateway.ts'
import { toGuard } from './k8s/guard.ts'
import { hostShare } from './k8s/host.ts'
import { toBase } from './k8s/manifests.ts'
import { type KubeObject, toObject, toObjectId } from './k8s/object.ts'
import { GATEWAY } from './k8s/presets.ts'
import { toHorizontalPodAutoscaler, toMonitoring, toScaledObject } from './k8s/scaling.ts'
import { type Serving, toBucketFolder, type VllmServing, type Weights } from './k8s/serving.ts'
import { TRITON_MODEL } from './k8s/tensorrt-llm.ts'
import { type AcceleratedPlan, dollarsPerHour } from './plan.ts'
import { JETSTREAM_HTTP_IMAGE } from './servers.ts'
import type { ClusterSpec, GkeSpec } from './spec.ts'
import type { JsonObject, Resource } from './target.ts'

export type GkePlan = AcceleratedPlan & {
  readonly spec: GkeSpec
  /** While two versions stand side by side; see k8s/canary.ts. */
  readonly rollout?: Rollout
}

/** A canary has no address of its own; requests come through the stable version's route. */
export type Rollout =
  | { readonly role: 'canary'; readonly owner: string }
  | { readonly role: 'stable'; readonly canary: RouteCanary }

/** What OWNER_LABEL carries. */
export function ownerOf({ name, rollout }: GkePlan): string {
  return rollout?.role === 'canary' ? rollout.owner : name
}

/** As long as a name may be. */
const MAX_NAME = 40

/**
 * What a deployment's canary is called. Labels may hold a dot and names of deployments may not: nobody's own
 * deployment is taken for a canary.
 */
export function canaryOf(name: string): { readonly name: string; readonly owner: string } {
  const whole = `${name}-canary`
  const short = `${name.slice(0, 22)}-${contentHash(name)}-canary`
  return { name: whole.length <= MAX_NAME ? whole : short, owner: `${name}.canary` }
}

/** The value of an environment variable that the spec names. */
export type SecretOf = (variable: string) => string

const MINUTE_MS = 60_000
const DEFAULT_NAMESPACE = 'facet'
/** Longest that flex-start gives a machine. */
const FLEX_START_MS = 7 * 24 * 60 * MINUTE_MS
/** Requests that wait in each pod before another is added. */
const WAITING_PER_POD = 5

/** Kinds that cost money: pods bring nodes, and a gateway a load balancer. */
const BILLABLE = ['Deployment', 'Job', 'Gateway']

/**
 * In the order in which they are made. The namespace is not among them: others may use it.
 *
 * @param secretOf left out: the Secrets stand there without their values, as a plan shows them
 * @throws FacetError unsupported for what the server cannot do on GKE
 */
export function wantGke(plan: GkePlan, secretOf?: SecretOf): Resource[] {
  const serving = toServing(plan)
  const computeClass = toCapacityClass(plan, serving)
  const server = `apps/v1/Deployment/${serving.namespace}/${serving.name}`
  return [
    ...toSecrets(plan, serving, secretOf),
    ...computeClass,
    ...toBase(serving),
    ...toScaling(plan, serving),
    ...toExposure(plan, serving),
    ...toCostGuard(plan, serving),
  ].map((object): Resource => {
    const body =
      object.kind === 'Deployment' && object.metadata.name === plan.name ? labelled(object, plan) : object
    const id = toObjectId(body)
    const scales = ['HorizontalPodAutoscaler', 'ScaledObject', 'Gateway'].includes(body.kind)
    return {
      id,
      kind: body.kind,
      name: body.metadata.name,
      body,
      ...(BILLABLE.includes(body.kind) ? { billable: true as const } : {}),
      ...(scales ? { after: [server] } : {}),
    }
  })
}

/** @throws FacetError unsupported, with the field and what to write instead */
export function toServing(plan: GkePlan): Serving {
  const { name, spec, accelerator, devices, machine, model, server } = plan
  const common = {
    name,
    namespace: spec.namespace ?? DEFAULT_NAMESPACE,
    owner: ownerOf(plan),
    image: server.image,
    resources: hostShare(accelerator.name, devices),
    ...(needsClass(plan)
      ? { computeClass: toClassName(plan) }
      : { spot: plan.capacity.every((one) => one === 'spot') }),
  }
  if (server.name === 'vllm')
    return {
      ...common,
      server: 'vllm',
      accelerator: { type: 'gpu', label: accelerator.gkeLabel, count: devices },
      loadMs: 20 * MINUTE_MS,
      ...toVllm(plan),
    }
  if (server.name === 'tensorrt-llm') {
    const weights = toWeights(plan)
    if (weights.from !== 'bucket')
      throw unsupported(
        'weights',
        'TensorRT-LLM reads engines from a bucket: name it with { from: "bucket", uri }.',
      )
    const gpu = { type: 'gpu', label: accelerator.gkeLabel, count: devices } as const
    return {
      ...common,
      server: 'tensorrt-llm',
      model: TRITON_MODEL,
      weights,
      accelerator: gpu,
      loadMs: 20 * MINUTE_MS,
    }
  }
  const weights = toWeights(plan)
  if (weights.from !== 'hugging-face')
    throw unsupported('weights', 'JetStream on PyTorch reads Hugging Face; take { from: "huggingface" }.')
  if (plan.dtype !== 'bf16')
    throw unsupported('dtype', 'JetStream is deployed with weights in bf16 only; leave dtype out.')
  return {
    ...common,
    server: 'jetstream',
    model: model.repository,
    weights,
    batchSize: plan.maxSequences,
    httpImage: JETSTREAM_HTTP_IMAGE,
    accelerator: {
      type: 'tpu',
      label: accelerator.gkeLabel,
      topology: machine.topology ?? '1x1',
      count: devices,
    },
    loadMs: 50 * MINUTE_MS,
  }
}

function toVllm(
  plan: GkePlan,
): Omit<VllmServing, 'name' | 'server' | 'image' | 'accelerator' | 'resources' | 'loadMs'> {
  const { spec, model, name } = plan
  const adapters = Object.entries(spec.adapters ?? {}).map(([adapter, { source, ...rest }]) => ({
    name: adapter,
    source: source.startsWith('gs://') ? toBucketFolder(source) : source,
    ...rest,
  }))
  return {
    model: model.repository,
    servedName: model.id,
    weights: toWeights(plan),
    ...(spec.weights?.from === 'huggingface' && spec.weights.revision !== undefined
      ? { revision: spec.weights.revision }
      : {}),
    dtype: 'bfloat16',
    ...(plan.dtype === 'fp8' ? { quantization: 'fp8' as const } : {}),
    ...(plan.kvDtype === 'fp8' ? { kvCacheDtype: 'fp8_e5m2' as const } : {}),
    tensorParallel: plan.devices,
    contextTokens: plan.contextTokens,
    maxSequences: plan.maxSequences,
    memoryShare: 0.9,
    ...(adapters.length === 0 ? {} : { adapters }),
    ...(spec.expose?.to === 'public' ? { apiKey: { name: `${name}-key`, key: 'key' } } : {}),
  }
}

function toWeights({ name, spec: { weights } }: GkePlan): Weights {
  if (weights?.from !== 'bucket')
    return { from: 'hugging-face', token: { name: `${name}-hugging-face`, key: 'token' } }
  return { from: weights.loader === 'streamer' ? 'streamer' : 'bucket', ...toBucketFolder(weights.uri) }
}

function toSecrets({ spec, name }: GkePlan, serving: Serving, secretOf?: SecretOf): KubeObject[] {
  const one = (secret: string, key: string, variable: string, pick = (value: string) => value): KubeObject =>
    toObject(
      'v1',
      'Secret',
      serving,
      {
        type: 'Opaque',
        ...(secretOf ? { data: { [key]: Buffer.from(pick(secretOf(variable))).toString('base64') } } : {}),
      },
      { name: secret },
    )
  const { weights, expose } = spec
  return [
    ...(weights?.from === 'bucket'
      ? []
      : [one(`${name}-hugging-face`, 'token', weights?.tokenEnv ?? 'HF_TOKEN')]),
    // vLLM takes one key.
    ...(expose?.to === 'public'
      ? [one(`${name}-key`, 'key', expose.keysEnv, (keys) => keys.split(',')[0]!.trim())]
      : []),
  ]
}

/** One kind of capacity that a node selector can ask for needs no class. */
function needsClass(plan: GkePlan): boolean {
  const { capacity } = plan
  // The deployment's own pool is of the capacity that was to be had.
  if (clusterOf(plan)?.nodes === 'pool') return false
  return capacity.length > 1 || capacity[0] === 'reservation' || capacity[0] === 'flex-start'
}

const toClassName = ({ name, spec }: GkePlan): string => `${spec.namespace ?? DEFAULT_NAMESPACE}-${name}`

function toCapacityClass(plan: GkePlan, serving: Serving): KubeObject[] {
  if (!needsClass(plan)) return []
  const { accelerator, machine, devices, capacity, spec } = plan
  const { zones, reservation }: Partial<ClusterSpec> = typeof spec.cluster === 'object' ? spec.cluster : {}
  const label = accelerator.gkeLabel
  return [
    toComputeClass(serving, {
      name: toClassName(plan),
      machineType: machine.type,
      ...(accelerator.kind === 'gpu'
        ? { gpu: { label, count: devices } }
        : { tpu: { label, topology: machine.topology ?? '1x1', count: devices } }),
      sources: capacity.map((type): Source => {
        if (type === 'flex-start') return { type, maxRunMs: FLEX_START_MS }
        return type === 'reservation' && reservation !== undefined ? { type, name: reservation } : { type }
      }),
      ...(zones && { zones }),
    }),
  ]
}

function toScaling({ replicas, spec }: GkePlan, serving: Serving): KubeObject[] {
  const scaling = { minReplicas: replicas.min, maxReplicas: replicas.max, waitingPerPod: WAITING_PER_POD }
  if (replicas.min === 0)
    return [...toMonitoring(serving), ...toScaledObject(serving, { ...scaling, project: spec.project })]
  const autoscaler = replicas.max === 1 ? [] : [toHorizontalPodAutoscaler(serving, scaling)]
  return [...toMonitoring(serving), ...autoscaler]
}

function toExposure({ spec: { expose }, name, rollout }: GkePlan, serving: Serving): KubeObject[] {
  if (expose === undefined || expose.to === 'cluster') return [toApiServerPolicy(serving)]
  const exposure =
    expose.to === 'public'
      ? ({ to: 'internet', hostname: expose.host, certificate: name } as const)
      : ({ to: 'vpc' } as const)
  const gateway = { ...GATEWAY, exposure }
  if (rollout?.role === 'canary') return toBackend(serving, gateway)
  return toGateway(serving, { ...gateway, ...(rollout && { canary: rollout.canary }) })
}

/** What it may cost and for how long, for whoever finds it in the cluster. */
function labelled(deployment: KubeObject, plan: GkePlan): KubeObject {
  const { dollars, ttlHours } = limitsOf(plan)
  const hour = dollarsPerHour(plan)
  const { metadata } = deployment
  const labels = {
    ...(metadata.labels as JsonObject),
    ...(ttlHours !== undefined && { 'gemfacet-ttl-hours': String(ttlHours) }),
    ...(dollars !== undefined && { 'gemfacet-dollars': String(dollars) }),
    ...(hour !== undefined && { 'gemfacet-dollars-per-hour': hour.toFixed(2) }),
  }
  return plan.spec.guard ? { ...deployment, metadata: { ...metadata, labels } } : deployment
}

/** A canary is guarded by the guard of its stable version. */
function toCostGuard(plan: GkePlan, serving: Serving): KubeObject[] {
  const limits = limitsOf(plan)
  const rates = ratesOf(plan)
  if (Object.keys(limits).length === 0 || plan.rollout?.role === 'canary') return []
  return toGuard(serving, {
    limits,
    rates: rates ?? { replicaHour: 0, fixedHour: 0 },
    // biome-ignore lint/suspicious/noThenProperty: the spec's word, and nobody awaits it
    then: plan.spec.guard?.then ?? 'scale-down',
    canary: canaryOf(plan.name),
    keda: plan.replicas.min === 0,
  })
}

function unsupported(field: string, message: string): FacetError {
  return new FacetError('unsupported', `${field}: ${message}`, { field })
}
