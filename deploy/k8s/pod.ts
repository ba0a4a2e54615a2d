/** What all model servers' pods have in common: where they run, as whom, and what they may write. */
import type { Json, JsonObject } from '../target.ts'
import { type KubeObject, selectorLabels, toObject } from './object.ts'
import { type Accelerator, type BucketFolder, HTTP_PORT, type Serving, type Weights } from './serving.ts'

/** Any user that is not root; the same as the one that newer vLLM images bring. */
export const USER = 2000
/** Where a pod may write: its root file system is read-only. */
export const CACHE_PATH = '/cache'
export const WEIGHTS_PATH = '/weights'
/** Requests in flight may finish while the endpoints forget the pod. */
const DRAIN_SECONDS = 15
const GRACE_SECONDS = 120

export interface PodParts {
  readonly containers: readonly JsonObject[]
  /** Beside the caches that every pod gets. */
  readonly volumes?: readonly JsonObject[]
  readonly annotations?: Readonly<Record<string, string>>
  /** The image works under any user. TPU devices belong to root, so servers on TPUs stay with it. */
  readonly nonRoot: boolean
}

/** The pods of one server; how many there are is the autoscaler's, so `replicas` is never named. */
export function toDeployment(serving: Serving, parts: PodParts): KubeObject {
  const loadSeconds = Math.ceil(serving.loadMs / 1000)
  return toObject('apps/v1', 'Deployment', serving, {
    spec: {
      selector: { matchLabels: { ...selectorLabels(serving) } },
      revisionHistoryLimit: 3,
      // A rollout that waits for a machine and for the weights is slow, not stuck.
      progressDeadlineSeconds: loadSeconds + 1800,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: toPodTemplate(serving, parts),
    },
  })
}

export function toPodTemplate(serving: Serving, parts: PodParts): JsonObject {
  const labels = { ...selectorLabels(serving) }
  return {
    metadata: {
      labels,
      ...(parts.annotations === undefined ? {} : { annotations: { ...parts.annotations } }),
    },
    spec: {
      serviceAccountName: serving.name,
      automountServiceAccountToken: false,
      // A Service named vllm would otherwise set VLLM_PORT, which vLLM reads as its own.
      enableServiceLinks: false,
      terminationGracePeriodSeconds: GRACE_SECONDS,
      securityContext: toPodSecurity(parts.nonRoot),
      nodeSelector: toNodeSelector(serving),
      tolerations: toTolerations(serving),
      topologySpreadConstraints: ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map(
        (topologyKey) => ({
          maxSkew: 1,
          topologyKey,
          whenUnsatisfiable: 'ScheduleAnyway',
          labelSelector: { matchLabels: labels },
        }),
      ),
      containers: parts.containers,
      volumes: [
        { name: 'cache', emptyDir: { sizeLimit: serving.resources.ephemeralStorage } },
        { name: 'tmp', emptyDir: { sizeLimit: '1Gi' } },
        { name: 'shared-memory', emptyDir: { medium: 'Memory', sizeLimit: '2Gi' } },
        ...(parts.volumes ?? []),
      ],
    },
  }
}

/** Volume mounts that go with the volumes of every pod. */
export const CACHE_MOUNTS: readonly JsonObject[] = [
  { name: 'cache', mountPath: CACHE_PATH },
  { name: 'tmp', mountPath: '/tmp' },
  { name: 'shared-memory', mountPath: '/dev/shm' },
]

/** What PodSecurity's `restricted` asks of a container, and a root file system nobody can write. */
export const CONTAINER_SECURITY: JsonObject = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}

export const HTTP_PORTS: readonly JsonObject[] = [{ name: 'http', containerPort: HTTP_PORT, protocol: 'TCP' }]

export const LIFECYCLE: JsonObject = { preStop: { sleep: { seconds: DRAIN_SECONDS } } }

/** @param nonRoot the image works under any user */
export function toPodSecurity(nonRoot: boolean): JsonObject {
  const seccompProfile = { type: 'RuntimeDefault' }
  return nonRoot
    ? { runAsNonRoot: true, runAsUser: USER, runAsGroup: USER, fsGroup: USER, seccompProfile }
    : { seccompProfile }
}

/** Requests and limits of the container that holds the accelerator; GPUs and TPUs cannot be shared out. */
export function toResources({
  accelerator,
  resources,
}: Pick<Serving, 'accelerator' | 'resources'>): JsonObject {
  const amounts = {
    cpu: resources.cpu,
    memory: resources.memory,
    'ephemeral-storage': resources.ephemeralStorage,
    [toResourceName(accelerator)]: String(accelerator.count),
  }
  return { requests: amounts, limits: amounts }
}

function toResourceName(accelerator: Accelerator): string {
  return accelerator.type === 'gpu' ? 'nvidia.com/gpu' : 'google.com/tpu'
}

/** What pods ask of their node. */
type Placement = Pick<Serving, 'accelerator' | 'computeClass' | 'spot'>

export function toNodeSelector({ accelerator, computeClass, spot }: Placement): JsonObject {
  const capacity =
    computeClass !== undefined
      ? { 'cloud.google.com/compute-class': computeClass }
      : spot
        ? { 'cloud.google.com/gke-spot': 'true' }
        : {}
  if (accelerator.type === 'tpu')
    return {
      'cloud.google.com/gke-tpu-accelerator': accelerator.label,
      'cloud.google.com/gke-tpu-topology': accelerator.topology,
      ...capacity,
    }
  return {
    'kubernetes.io/os': 'linux',
    ...(accelerator.label === undefined ? {} : { 'cloud.google.com/gke-accelerator': accelerator.label }),
    ...capacity,
  }
}

export function toTolerations({ accelerator, spot, computeClass }: Placement): Json {
  const exists = (key: string): JsonObject => ({ key, operator: 'Exists', effect: 'NoSchedule' })
  const equals = (key: string, value: string): JsonObject => ({
    key,
    operator: 'Equal',
    value,
    effect: 'NoSchedule',
  })
  return [
    exists(toResourceName(accelerator)),
    ...(computeClass === undefined ? [] : [equals('cloud.google.com/compute-class', computeClass)]),
    ...(spot ? [equals('cloud.google.com/gke-spot', 'true')] : []),
  ]
}

/** Where in the pod a bucket's folder is to be seen. */
export interface Mounted extends BucketFolder {
  /** Of the volume: a DNS label. */
  readonly name: string
  readonly path: string
  /** User id of the pod that writes there. Left out: it only reads, and nobody writes meanwhile. */
  readonly writer?: number
}

/** Weights do not change while they are read, and are read whole. */
const READ_OPTIONS = [
  'implicit-dirs',
  'file-cache:max-size-mb:-1',
  'file-cache:enable-parallel-downloads:true',
  'metadata-cache:ttl-secs:-1',
]

/** Annotations, volumes and mounts that bring folders of buckets into the pod, with downloads in parallel. */
export function toFuseParts(folders: readonly Mounted[]): {
  readonly annotations: Readonly<Record<string, string>>
  readonly volumes: readonly JsonObject[]
  readonly mounts: readonly JsonObject[]
} {
  const limits = ['cpu', 'memory', 'ephemeral-storage'].map((name) => [`gke-gcsfuse/${name}-limit`, '0'])
  return {
    // With its default limits the sidecar runs out of memory on files of several GiB.
    annotations: { 'gke-gcsfuse/volumes': 'true', ...Object.fromEntries(limits) },
    volumes: [
      ...folders.map(({ name, bucket, folder, writer }) => ({
        name,
        csi: {
          driver: 'gcsfuse.csi.storage.gke.io',
          readOnly: writer === undefined,
          volumeAttributes: {
            bucketName: bucket,
            mountOptions: [
              ...(folder === '' ? [] : [`only-dir=${folder}`]),
              ...(writer === undefined ? READ_OPTIONS : ['implicit-dirs', `uid=${writer}`, `gid=${writer}`]),
            ].join(','),
          },
        },
      })),
      // The name under which the sidecar looks for room for its file cache.
      { name: 'gke-gcsfuse-cache', emptyDir: {} },
    ],
    mounts: folders.map(({ name, path, writer }) => ({
      name,
      mountPath: path,
      readOnly: writer === undefined,
    })),
  }
}

/** The weights, where they come from a mounted bucket. */
export function toMountedWeights(weights: Weights): Mounted[] {
  return weights.from === 'bucket' ? [{ ...weights, name: 'weights', path: WEIGHTS_PATH }] : []
}
