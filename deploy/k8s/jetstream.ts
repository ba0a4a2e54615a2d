/** JetStream on a single-host TPU slice: PyTorch/XLA, or MaxText with the Job that converts its checkpoint. */

import { contentHash } from '../content-hash.ts'
import type { JsonObject } from '../target.ts'
import { type KubeObject, toObject } from './object.ts'
import {
  CACHE_MOUNTS,
  CACHE_PATH,
  CONTAINER_SECURITY,
  HTTP_PORTS,
  LIFECYCLE,
  toDeployment,
  toPodTemplate,
  toResources,
} from './pod.ts'
import { httpGet, toProbes } from './probes.ts'
import type { JetstreamServing, MaxtextServing, Serving } from './serving.ts'
import { fromSecret } from './vllm.ts'

/** gRPC of the engine, reached by the HTTP front in the same pod. */
const ENGINE_PORT = 9000
export const JETSTREAM_METRICS_PORT = 9100
/** Name of the container of the HTTP front. */
export const JETSTREAM_FRONT = 'http'

export function toJetstreamDeployment(serving: JetstreamServing): KubeObject {
  return toTpuDeployment(serving, serving.httpImage, {
    args: [
      `--model_id=${serving.model}`,
      `--override_batch_size=${serving.batchSize}`,
      '--enable_model_warmup=True',
      `--port=${ENGINE_PORT}`,
      `--prometheus_port=${JETSTREAM_METRICS_PORT}`,
    ],
    env: [...HOME, fromSecret('HF_TOKEN', serving.weights.token)],
    volumeMounts: CACHE_MOUNTS,
  })
}

export function toMaxtextDeployment(serving: MaxtextServing): KubeObject {
  return toTpuDeployment(serving, serving.httpImage, {
    args: [
      `model_name=${serving.model}`,
      'tokenizer_path=assets/tokenizer.gemma',
      `per_device_batch_size=${serving.batchSize}`,
      'max_prefill_predict_length=1024',
      'max_target_length=2048',
      'async_checkpointing=false',
      'ici_fsdp_parallelism=1',
      'ici_autoregressive_parallelism=-1',
      'ici_tensor_parallelism=1',
      'scan_layers=false',
      'weight_dtype=bfloat16',
      `load_parameters_path=gs://${serving.weights.bucket}/final/unscanned/gemma_7b-it/0/checkpoints/0/items`,
      `prometheus_port=${JETSTREAM_METRICS_PORT}`,
    ],
    env: HOME,
    volumeMounts: CACHE_MOUNTS,
  })
}

/**
 * Downloads the checkpoint and writes it as MaxText reads it. A Job's template cannot be changed, so its
 * name holds a hash of what it does: another checkpoint is another Job, the same one is never run twice.
 */
export function toConversionJob(serving: MaxtextServing): KubeObject {
  const { weights } = serving
  const template = toPodTemplate(serving, {
    nonRoot: false,
    containers: [
      {
        name: 'convert',
        image: weights.image,
        args: [`-b=${weights.bucket}`, `-m=${weights.handle}`],
        env: HOME,
        resources: toResources(serving),
        securityContext: { ...CONTAINER_SECURITY, readOnlyRootFilesystem: false },
        volumeMounts: [...CACHE_MOUNTS, { name: 'kaggle', mountPath: '/kaggle/', readOnly: true }],
      },
    ],
    volumes: [{ name: 'kaggle', secret: { secretName: weights.secret, defaultMode: 0o400 } }],
  })
  const pod = template.spec as JsonObject
  const spec = {
    backoffLimit: 2,
    activeDeadlineSeconds: 4 * 3600,
    template: {
      // The pods of a Job must not answer to the Service of the server.
      metadata: {
        labels: { 'app.kubernetes.io/name': serving.name, 'app.kubernetes.io/component': 'convert' },
      },
      spec: { ...pod, restartPolicy: 'Never' },
    },
  }
  return toObject(
    'batch/v1',
    'Job',
    serving,
    { spec },
    {
      name: `${serving.name}-convert-${contentHash(spec)}`,
      component: 'convert',
    },
  )
}

const HOME: readonly JsonObject[] = [{ name: 'HOME', value: CACHE_PATH }]

function toTpuDeployment(serving: Serving, httpImage: string, engine: JsonObject): KubeObject {
  // The front answers 200 only when the engine behind it has generated an answer.
  const probes = toProbes({
    model: httpGet('/healthcheck'),
    alive: { tcpSocket: { port: 'http' } },
    loadMs: serving.loadMs,
  })
  const small = { cpu: '500m', memory: '512Mi', 'ephemeral-storage': '1Gi' }
  return toDeployment(serving, {
    nonRoot: false,
    containers: [
      {
        name: 'server',
        image: serving.image,
        ...engine,
        ports: [
          { name: 'grpc', containerPort: ENGINE_PORT, protocol: 'TCP' },
          { name: 'metrics', containerPort: JETSTREAM_METRICS_PORT, protocol: 'TCP' },
        ],
        resources: toResources(serving),
        startupProbe: {
          tcpSocket: { port: 'grpc' },
          periodSeconds: 10,
          failureThreshold: Math.ceil(serving.loadMs / 10_000),
        },
        readinessProbe: { tcpSocket: { port: 'grpc' }, periodSeconds: 10 },
        livenessProbe: { tcpSocket: { port: 'grpc' }, periodSeconds: 20, failureThreshold: 6 },
        lifecycle: LIFECYCLE,
        securityContext: CONTAINER_SECURITY,
      },
      {
        // Without arguments: its image has a command and no entry point, and they would take the command's place.
        name: JETSTREAM_FRONT,
        image: httpImage,
        env: HOME,
        ports: HTTP_PORTS,
        resources: { requests: small, limits: small },
        ...probes,
        lifecycle: LIFECYCLE,
        securityContext: CONTAINER_SECURITY,
        volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
      },
    ],
  })
}
