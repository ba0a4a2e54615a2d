/** What Vertex AI is sent: a model, a dedicated endpoint, and the model deployed to it. */
import type { AcceleratedPlan } from './plan.ts'
import type { VertexSpec } from './spec.ts'
import { type Json, type JsonObject, OWNER_LABEL, type Resource } from './target.ts'

/** Of the container, for the processes of one replica. */
const SHARED_MEMORY_MB = 16_384
/** Weights are copied while this runs; Google's notebooks give it two hours. */
const DEPLOYMENT_TIMEOUT_SECONDS = 7200
/** Of a request; dedicated endpoints take up to an hour. */
const INFERENCE_TIMEOUT_SECONDS = 3600

type VertexPlan = AcceleratedPlan & { readonly spec: VertexSpec }

/** In the words of aiplatform v1. Ids are ours, so that a second run finds what the first made. */
export function wantVertex(plan: VertexPlan): Resource[] {
  const { name, spec } = plan
  const parent = `projects/${spec.project}/locations/${spec.region}`
  const model = `${parent}/models/facet-${name}`
  const endpoint = `${parent}/endpoints/facet-${name}`
  return [
    {
      id: model,
      kind: 'Vertex AI model',
      name: `facet-${name}`,
      body: {
        parent,
        modelId: `facet-${name}`,
        model: {
          displayName: `facet-${name}`,
          labels: labels(plan),
          containerSpec: containerSpec(plan),
        },
      },
    },
    {
      id: endpoint,
      kind: 'Vertex AI endpoint',
      name: `facet-${name}`,
      body: {
        parent,
        endpointId: `facet-${name}`,
        endpoint: {
          displayName: `facet-${name}`,
          labels: labels(plan),
          dedicatedEndpointEnabled: true,
          clientConnectionConfig: { inferenceTimeout: { seconds: INFERENCE_TIMEOUT_SECONDS } },
        },
      },
    },
    {
      id: `${endpoint}/deployedModels/facet-${name}`,
      kind: 'Vertex AI deployed model',
      name: `facet-${name}`,
      billable: true,
      after: [model, endpoint],
      body: {
        endpoint,
        deployedModel: {
          model,
          displayName: `facet-${name}`,
          ...(spec.serviceAccount !== undefined && { serviceAccount: spec.serviceAccount }),
          dedicatedResources: dedicatedResources(plan),
        },
        trafficSplit: { '0': 100 },
      },
    },
  ]
}

function labels({ name, model }: VertexPlan): JsonObject {
  return { [OWNER_LABEL]: name, 'gemfacet-model': model.id.replaceAll('.', '-') }
}

function dedicatedResources(plan: VertexPlan): JsonObject {
  const { machine, accelerator, devices, replicas, capacity } = plan
  return {
    machineSpec: {
      machineType: machine.type,
      ...(accelerator.vertexType !== undefined && {
        acceleratorType: accelerator.vertexType,
        acceleratorCount: devices,
      }),
      ...(accelerator.kind === 'tpu' && { tpuTopology: `1x${devices}` }),
    },
    // v1 has no zero; that is scaleToZeroSpec of v1beta1.
    minReplicaCount: Math.max(1, replicas.min),
    maxReplicaCount: replicas.max,
    ...(capacity.includes('spot') && { spot: true }),
    autoscalingMetricSpecs: [
      {
        metricName:
          accelerator.kind === 'gpu'
            ? 'aiplatform.googleapis.com/prediction/online/accelerator/duty_cycle'
            : 'aiplatform.googleapis.com/prediction/online/cpu/utilization',
        target: 60,
      },
    ],
  }
}

function containerSpec(plan: VertexPlan): JsonObject {
  const { spec, server } = plan
  const own = spec.image !== undefined
  const hex = server.name === 'hex-llm'
  return {
    imageUri: spec.image ?? server.image,
    // A stock image starts by itself, and is reached under its own paths.
    ...(!own && {
      command: ['python', '-m', hex ? 'hex_llm.server.api_server' : 'vllm.entrypoints.api_server'],
    }),
    args: serverArguments(plan),
    ports: [{ containerPort: own ? 8000 : server.port }],
    healthRoute: own ? '/health' : '/ping',
    ...(own ? { invokeRoutePrefix: '/*' } : { predictRoute: hex ? '/predict' : '/generate' }),
    ...(!hex && { sharedMemorySizeMb: SHARED_MEMORY_MB }),
    deploymentTimeout: { seconds: DEPLOYMENT_TIMEOUT_SECONDS },
    env: environment(plan),
  }
}

function serverArguments(plan: VertexPlan): string[] {
  const { spec, server, model } = plan
  const weights = spec.weights?.from === 'bucket' ? spec.weights.uri : model.repository
  const shared = [`--model=${weights}`, `--port=${spec.image === undefined ? server.port : 8000}`]
  if (server.name === 'hex-llm') {
    return [
      ...shared,
      '--host=0.0.0.0',
      // Left at 1 it would use one chip of the four that are paid for.
      `--tensor_parallel_size=${plan.devices}`,
      `--max_model_len=${plan.contextTokens}`,
      `--max_running_seqs=${plan.maxSequences}`,
      '--hbm_utilization_factor=0.9',
    ]
  }
  return [
    ...shared,
    '--host=0.0.0.0',
    // Google's image answers to the empty name, as its notebooks ask.
    ...(spec.image === undefined ? [] : [`--served-model-name=${model.id}`]),
    `--tensor-parallel-size=${plan.devices}`,
    `--max-model-len=${plan.contextTokens}`,
    `--max-num-seqs=${plan.maxSequences}`,
    '--gpu-memory-utilization=0.9',
    '--dtype=bfloat16',
    ...(plan.dtype === 'fp8' ? ['--quantization=fp8'] : []),
    ...(plan.kvDtype === 'fp8' ? ['--kv-cache-dtype=fp8'] : []),
  ]
}

/** Vertex AI has no secrets for containers: the token is put in by `up`, and is never part of a plan. */
function environment({ spec, model }: VertexPlan): Json[] {
  const revision = spec.weights?.from === 'huggingface' ? spec.weights.revision : undefined
  return [
    { name: 'MODEL_ID', value: model.repository },
    { name: 'DEPLOY_SOURCE', value: 'gemfacet' },
    ...(revision === undefined ? [] : [{ name: 'HF_REVISION', value: revision }]),
  ]
}
