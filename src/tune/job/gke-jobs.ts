/** What runs the pods of a tuning: a Job on one host, a JobSet over the hosts of a TPU slice. */
import { contentHash } from '../../../deploy/content-hash.ts'
import { type KubeObject, toObject } from '../../../deploy/k8s/object.ts'
import type { Json, JsonObject } from '../../../deploy/target.ts'
import { COMPONENT, CONTAINER, identityOf, runName, toPodTemplate } from './gke-pod.ts'
import type { JobMachines, JobPlan } from './job.ts'
import { deadlineHours } from './plan.ts'

export const JOB: { readonly apiVersion: string; readonly kind: string } = {
  apiVersion: 'batch/v1',
  kind: 'Job',
}
export const JOB_SET: typeof JOB = { apiVersion: 'jobset.x-k8s.io/v1alpha2', kind: 'JobSet' }

/** Kueue takes what carries it, and holds it back until its quota has room. */
export const QUEUE_LABEL = 'kueue.x-k8s.io/queue-name'
/** Hash of everything below metadata: a Job's template cannot be changed, so another one must be another Job. */
export const SPEC_ANNOTATION = 'gemfacet-spec'

/** Crashes, which preemptions are not. */
const BACKOFF_LIMIT = 2
/** facet_attempt.py ends so when the machines were taken away too often. */
export const LIMIT_STATUS = 77
/** Keeps what runs from being moved for a better fit. */
const STAY = { 'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false' }

/** One slice for all hosts of the job, and no other job on it. */
const WHOLE_SLICE = { 'alpha.jobset.sigs.k8s.io/exclusive-topology': 'cloud.google.com/gke-nodepool' }

/** Labels by which pods know which launch of their job they belong to. */
const LAUNCH = {
  Job: 'batch.kubernetes.io/controller-uid',
  JobSet: 'jobset.sigs.k8s.io/jobset-uid',
} as const

export function toJobObject(plan: JobPlan, machines: JobMachines): KubeObject {
  const several = machines.hosts > 1
  const { apiVersion, kind } = several ? JOB_SET : JOB
  const spec = several ? toJobSetSpec(plan, machines) : toJobSpec(plan, machines)
  const { queue } = plan.spec
  // Kueue lets it go on when there is room.
  const held = queue === undefined ? spec : { suspend: true, ...spec }
  const object = toObject(
    apiVersion,
    kind,
    identityOf(plan),
    { spec: held },
    {
      name: runName(plan),
      component: COMPONENT,
      annotations: { [SPEC_ANNOTATION]: contentHash(held), ...(several && WHOLE_SLICE) },
    },
  )
  if (queue === undefined) return object
  const labels = { ...(object.metadata.labels as JsonObject), [QUEUE_LABEL]: queue }
  return { ...object, metadata: { ...object.metadata, labels } }
}

function toJobSpec(plan: JobPlan, machines: JobMachines): JsonObject {
  const seconds = deadlineSeconds(plan)
  return {
    backoffLimit: BACKOFF_LIMIT,
    ...(seconds !== undefined && { activeDeadlineSeconds: seconds }),
    podFailurePolicy: {
      rules: [
        limitRule('FailJob'),
        // A machine that is taken away is nobody's mistake: a new pod goes on from the last checkpoint.
        { action: 'Ignore', onPodConditions: [DISRUPTED] },
      ],
    },
    // The next pod must not begin while the last one still writes.
    podReplacementPolicy: 'Failed',
    template: withStay(toPodTemplate(plan, machines, LAUNCH.Job)),
  }
}

/**
 * All hosts begin and end together: one that is lost ends its Job, and the JobSet makes all of them again,
 * without counting where the machine was taken away.
 */
function toJobSetSpec(plan: JobPlan, machines: JobMachines): JsonObject {
  const seconds = deadlineSeconds(plan)
  const { hosts } = machines
  return {
    failurePolicy: {
      maxRestarts: BACKOFF_LIMIT,
      rules: [
        {
          name: 'preemptionLimit',
          action: 'FailJobSet',
          onJobFailureReasons: ['PodFailurePolicy'],
          onJobFailureMessagePatterns: [`exit code ${LIMIT_STATUS} `],
        },
        {
          name: 'preempted',
          action: 'RestartJobSetAndIgnoreMaxRestarts',
          onJobFailureReasons: ['PodFailurePolicy'],
        },
        ...(seconds === undefined
          ? []
          : [{ name: 'deadline', action: 'FailJobSet', onJobFailureReasons: ['DeadlineExceeded'] }]),
      ],
    },
    network: { enableDNSHostnames: true },
    replicatedJobs: [
      {
        name: 'host',
        replicas: 1,
        template: {
          spec: {
            parallelism: hosts,
            completions: hosts,
            completionMode: 'Indexed',
            backoffLimit: 0,
            ...(seconds !== undefined && { activeDeadlineSeconds: seconds }),
            podFailurePolicy: {
              rules: [limitRule('FailJob'), { action: 'FailJob', onPodConditions: [DISRUPTED] }],
            },
            template: withStay(toPodTemplate(plan, machines, LAUNCH.JobSet)),
          },
        },
      },
    ],
  }
}

const DISRUPTED = { type: 'DisruptionTarget', status: 'True' }

const limitRule = (action: string): JsonObject => ({
  action,
  onExitCodes: { containerName: CONTAINER, operator: 'In', values: [LIMIT_STATUS] },
})

function deadlineSeconds(plan: JobPlan): number | undefined {
  const hours = deadlineHours(plan)
  return hours === undefined ? undefined : Math.max(1, Math.ceil(hours * 3600))
}

function withStay(template: JsonObject): Json {
  const metadata = template.metadata as JsonObject
  const annotations = { ...(metadata.annotations as JsonObject), ...STAY }
  return { ...template, metadata: { ...metadata, annotations } }
}
