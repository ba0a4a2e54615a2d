/** A tuning as a custom job of Vertex AI: what is asked for. */
import { contentHash } from '../../../deploy/content-hash.ts'
import type { JsonObject, Resource } from '../../../deploy/target.ts'
import type { JobMachines, JobPlan } from './job.ts'
import { toVertex } from './paths.ts'
import { deadlineHours } from './plan.ts'

/** The tuning's name: whoever looks finds all of its jobs by it. */
export const TUNING_LABEL = 'gemfacet-tuning'
/** The run, which is what decides the result. */
export const RUN_LABEL = 'gemfacet-run'
/** Hash of the machines and terms that a run has. */
export const SPEC_LABEL = 'gemfacet-spec'
/** Tells jobs apart that were asked for at the same moment. */
export const START_LABEL = 'gemfacet-start'

/** The disk holds the checkpoint as it is downloaded, packages, and what is put together from shards. */
const BOOT_DISK_GB = 300
/** The longest that Vertex AI lets a job run. */
const MOST_HOURS = 7 * 24
const CACHE_PATH = '/tmp/facet'

/** `projects/PROJECT/locations/REGION` */
export function parentOf({ spec }: JobPlan): string {
  return `projects/${spec.project}/locations/${spec.region}`
}

/** All but what `toRequest` adds when the job is made. */
export function wantVertexJob(plan: JobPlan): Resource[] {
  const { name, run, spec, machines } = plan
  const jobSpec = {
    workerPoolSpecs: [
      {
        machineSpec: toMachine(machines!),
        replicaCount: 1,
        diskSpec: { bootDiskType: 'pd-ssd', bootDiskSizeGb: BOOT_DISK_GB },
        containerSpec: { imageUri: plan.image, ...toCommand(plan), env: toEnvironment(plan) },
      },
    ],
    scheduling: {
      strategy: machines!.capacity === 'spot' ? 'SPOT' : 'STANDARD',
      timeout: { seconds: Math.round(Math.min(deadlineHours(plan) ?? MOST_HOURS, MOST_HOURS) * 3600) },
      // A worker that was taken away comes back, and the script goes on from its last checkpoint.
      restartJobOnWorkerRestart: true,
    },
    ...(spec.serviceAccount !== undefined && { serviceAccount: spec.serviceAccount }),
  }
  const labels = { [TUNING_LABEL]: name, [RUN_LABEL]: run, [SPEC_LABEL]: contentHash(jobSpec) }
  return [
    {
      id: `${parentOf(plan)}/customJobs/${run}`,
      kind: 'Vertex AI custom job',
      name: run,
      billable: true,
      body: { parent: parentOf(plan), customJob: { displayName: `tune-${run}`, labels, jobSpec } },
    },
  ]
}

function toMachine({ machine, accelerator, devices, topology }: JobMachines): JsonObject {
  return {
    machineType: machine.type,
    ...(accelerator.vertexType !== undefined && {
      acceleratorType: accelerator.vertexType,
      acceleratorCount: devices,
    }),
    ...(accelerator.kind === 'tpu' && { tpuTopology: topology ?? '1x1' }),
  }
}

function toCommand({ folders, packages, command, maxPreemptions }: JobPlan): JsonObject {
  const job = `${toVertex(folders.root)}/job`
  const attempt = [`--limit=${maxPreemptions}`, `--packages-folder=${CACHE_PATH}/packages`]
  const installed = packages.map((one) => `--package=${one}`)
  return {
    // The folder is $0.
    command: ['sh', '-c', 'cd "$0" && exec "$@"', job],
    args: ['python3', 'facet_attempt.py', ...attempt, ...installed, '--', ...command],
  }
}

function toEnvironment({ trainer, spec }: JobPlan): JsonObject[] {
  const values = {
    HF_HOME: `${CACHE_PATH}/huggingface`,
    HF_HUB_DISABLE_TELEMETRY: '1',
    PYTHONUNBUFFERED: '1',
    PYTHONDONTWRITEBYTECODE: '1',
    ...(trainer.name === 'keras' && { KERAS_BACKEND: spec.backend ?? 'jax' }),
  }
  return Object.entries(values).map(([name, value]) => ({ name, value }))
}

/**
 * The request with the token in the job's environment, and a label of this start.
 *
 * @param by lowercase, as labels are
 */
export function toRequest(body: JsonObject, token: string, by: string): JsonObject {
  const copy = structuredClone(body) as {
    customJob: {
      labels: Record<string, string>
      jobSpec: { workerPoolSpecs: { containerSpec: { env: object[] } }[] }
    }
  }
  copy.customJob.labels[START_LABEL] = by
  for (const { containerSpec } of copy.customJob.jobSpec.workerPoolSpecs)
    containerSpec.env.push({ name: 'HF_TOKEN', value: token })
  return copy as unknown as JsonObject
}
