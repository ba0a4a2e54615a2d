/** The pod of a tuning job on GKE: where it runs, as whom, what it mounts, and how its script is started. */
import { EGRESS } from '../../../deploy/k8s/access.ts'
import { twoThirds } from '../../../deploy/k8s/host.ts'
import { type Identity, type KubeObject, selectorLabels, toObject } from '../../../deploy/k8s/object.ts'
import {
  CACHE_MOUNTS,
  CACHE_PATH,
  CONTAINER_SECURITY,
  type Mounted,
  toFuseParts,
  toNodeSelector,
  toPodSecurity,
  toResources,
  toTolerations,
  USER,
} from '../../../deploy/k8s/pod.ts'
import { type Accelerator, toBucketFolder } from '../../../deploy/k8s/serving.ts'
import { fromSecret } from '../../../deploy/k8s/vllm.ts'
import type { JsonObject } from '../../../deploy/target.ts'
import { countParameters } from '../../gemma/memory-plan.ts'
import type { JobMachines, JobPlan } from './job.ts'
import { inputsOf, JOB_PATH, RUN_PATH } from './paths.ts'

/** What the pods' labels call them, beside the tuning's name. */
export const COMPONENT = 'train'
/** The container that trains. */
export const CONTAINER = 'train'
/** A spot machine gives 30 seconds; the kubelet keeps some of them. */
const GRACE_SECONDS = 25
const GIB = 2 ** 30

/** What stands before the names of a tuning's objects: a deployment may have the same name. */
export function identityOf({ name, spec }: JobPlan): Identity & { readonly namespace: string } {
  return { name: `tune-${name}`, namespace: spec.namespace ?? 'facet', owner: ownerOf(name) }
}

/** Labels may hold a dot and names of deployments may not: nobody's deployment is taken for a tuning. */
export function ownerOf(name: string): string {
  return `${name}.tuning`
}

/** Of the object that holds scripts and settings, and of the job itself. */
export function runName({ run }: JobPlan): string {
  return `tune-${run}`
}

export function secretName(plan: JobPlan): string {
  return `${identityOf(plan).name}-hugging-face`
}

/** Chips belong to root, so that pods on TPUs run as it. */
export function isRoot({ accelerator }: JobMachines): boolean {
  return accelerator.kind === 'tpu'
}

/** @param launch label that tells one launch of the job from the next, as its controller sets it */
export function toPodTemplate(plan: JobPlan, machines: JobMachines, launch: string): JsonObject {
  const identity = identityOf(plan)
  const labels = { ...selectorLabels(identity, COMPONENT) }
  const user = isRoot(machines) ? 0 : USER
  const fuse = toFuseParts(toMounts(plan, user))
  const accelerator = toAccelerator(machines)
  const { vcpus, memoryGiB } = twoThirds(machines.machine)
  const resources = {
    cpu: String(vcpus),
    memory: `${memoryGiB}Gi`,
    ephemeralStorage: `${storageGiB(plan)}Gi`,
  }
  const place = { accelerator, spot: machines.capacity === 'spot' }
  return {
    metadata: { labels, annotations: fuse.annotations },
    spec: {
      serviceAccountName: identity.name,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      // Failed pods stay, so that what was preempted and what crashed can be told apart.
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: GRACE_SECONDS,
      securityContext: toPodSecurity(user !== 0),
      nodeSelector: toNodeSelector(place),
      tolerations: toTolerations(place),
      containers: [
        {
          name: CONTAINER,
          image: plan.image,
          workingDir: JOB_PATH,
          command: toCommand(plan),
          env: toEnvironment(plan, launch),
          resources: toResources({ accelerator, resources }),
          securityContext: CONTAINER_SECURITY,
          volumeMounts: [
            ...CACHE_MOUNTS,
            { name: 'job', mountPath: JOB_PATH, readOnly: true },
            ...fuse.mounts,
          ],
        },
      ],
      volumes: [
        { name: 'cache', emptyDir: { sizeLimit: resources.ephemeralStorage } },
        { name: 'tmp', emptyDir: { sizeLimit: '4Gi' } },
        // Data loaders and collectives pass tensors through it.
        { name: 'shared-memory', emptyDir: { medium: 'Memory', sizeLimit: '8Gi' } },
        { name: 'job', configMap: { name: runName(plan) } },
        ...fuse.volumes,
      ],
    },
  }
}

function toAccelerator({ accelerator, devices, hosts, topology }: JobMachines): Accelerator {
  const count = devices / hosts
  return accelerator.kind === 'gpu'
    ? { type: 'gpu', label: accelerator.gkeLabel, count }
    : { type: 'tpu', label: accelerator.gkeLabel, topology: topology ?? '1x1', count }
}

/** The run's folder to write to, and whatever else it reads out of buckets. */
function toMounts({ folders, spec }: JobPlan, writer: number): Mounted[] {
  return [
    { name: 'run', path: RUN_PATH, writer, ...toBucketFolder(folders.root) },
    ...inputsOf(spec).map(({ name, from, path }) => {
      const isFile = name === 'train' || name === 'eval'
      const [folder, mount] = isFile
        ? [from.slice(0, from.lastIndexOf('/')), path.slice(0, path.lastIndexOf('/'))]
        : [from, path]
      return { name, path: mount, ...toBucketFolder(folder) }
    }),
  ]
}

/** Counts attempts around the script; see facet_attempt.py. */
function toCommand({ packages, command, maxPreemptions }: JobPlan): string[] {
  return [
    'python3',
    'facet_attempt.py',
    `--limit=${maxPreemptions}`,
    '--launch=$(FACET_LAUNCH)',
    ...packages.map((one) => `--package=${one}`),
    '--',
    ...command,
  ]
}

function toEnvironment(plan: JobPlan, launch: string): JsonObject[] {
  const values = {
    HOME: CACHE_PATH,
    // PyTorch names a cache after the user, whom most images' lists of users lack.
    USER: 'facet',
    XDG_CACHE_HOME: CACHE_PATH,
    HF_HOME: `${CACHE_PATH}/huggingface`,
    HF_HUB_DISABLE_TELEMETRY: '1',
    KERAS_HOME: `${CACHE_PATH}/keras`,
    ...(plan.trainer.name === 'keras' && { KERAS_BACKEND: plan.spec.backend ?? 'jax' }),
    TORCHINDUCTOR_CACHE_DIR: `${CACHE_PATH}/inductor`,
    TRITON_CACHE_DIR: `${CACHE_PATH}/triton`,
    PYTHONUNBUFFERED: '1',
    PYTHONDONTWRITEBYTECODE: '1',
    OUT: `${RUN_PATH}/out`,
  }
  return [
    ...Object.entries(values).map(([name, value]) => ({ name, value })),
    { name: 'FACET_LAUNCH', valueFrom: { fieldRef: { fieldPath: `metadata.labels['${launch}']` } } },
    fromSecret('HF_TOKEN', { name: secretName(plan), key: 'token' }),
  ]
}

/** The checkpoint as it is downloaded, as much again for what is made of it, and packages. */
function storageGiB({ model }: JobPlan): number {
  const weights = (countParameters(model.config).total * 2) / GIB
  return Math.ceil(2 * weights) + 16
}

/** Nothing comes in but from other hosts of the job; out to those, to DNS, to Google and to public HTTPS. */
export function toJobPolicy(plan: JobPlan): KubeObject {
  const identity = identityOf(plan)
  const own = { podSelector: { matchLabels: { ...selectorLabels(identity, COMPONENT) } } }
  const several = (plan.machines?.hosts ?? 1) > 1
  return toObject(
    'networking.k8s.io/v1',
    'NetworkPolicy',
    identity,
    {
      spec: {
        ...own,
        policyTypes: ['Ingress', 'Egress'],
        ingress: several ? [{ from: [own] }] : [],
        egress: [...(several ? [{ to: [own] }] : []), ...EGRESS],
      },
    },
    { component: COMPONENT },
  )
}
