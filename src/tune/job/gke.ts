/** What GKE is sent for a tuning: account, token, network policy, scripts and settings, and the job itself. */
import type { SecretOf } from '../../../deploy/gke.ts'
import { toServiceAccount } from '../../../deploy/k8s/access.ts'
import { type KubeObject, toObject, toObjectId } from '../../../deploy/k8s/object.ts'
import type { Resource } from '../../../deploy/target.ts'
import { toJobObject } from './gke-jobs.ts'
import { COMPONENT, identityOf, runName, secretName, toJobPolicy } from './gke-pod.ts'
import type { JobPlan } from './job.ts'

/** Kinds whose pods hold machines. */
export const BILLABLE: readonly string[] = ['Job', 'JobSet']

export interface GkeInputs {
  /** Values of environment variables that the spec names. Left out: the Secret stands there without its value. */
  readonly secretOf?: SecretOf
  /** By name. Left out: only job.json. */
  readonly scripts?: Readonly<Record<string, string>>
}

/** In the order in which they are made; the job last. */
export function wantGkeJob(plan: JobPlan, inputs: GkeInputs = {}): Resource[] {
  const { machines, spec } = plan
  if (!machines) return []
  const identity = identityOf(plan)
  const objects = [
    toServiceAccount({ ...identity, googleServiceAccount: spec.serviceAccount }),
    toTokenSecret(plan, inputs),
    toJobPolicy(plan),
    toFiles(plan, inputs),
    toJobObject(plan, machines),
  ]
  return objects.map(
    (body): Resource => ({
      id: toObjectId(body),
      kind: body.kind,
      name: body.metadata.name,
      body,
      ...(BILLABLE.includes(body.kind) ? { billable: true as const } : {}),
    }),
  )
}

function toTokenSecret(plan: JobPlan, { secretOf }: GkeInputs): KubeObject {
  const variable = plan.spec.tokenEnv ?? 'HF_TOKEN'
  const data = secretOf && { data: { token: Buffer.from(secretOf(variable)).toString('base64') } }
  return toObject(
    'v1',
    'Secret',
    identityOf(plan),
    { type: 'Opaque', ...data },
    { name: secretName(plan), component: COMPONENT },
  )
}

/** What the pod finds in its working directory. */
function toFiles(plan: JobPlan, { scripts = {} }: GkeInputs): KubeObject {
  const settings = `${JSON.stringify(plan.settings, null, 2)}\n`
  return toObject(
    'v1',
    'ConfigMap',
    identityOf(plan),
    { data: { 'job.json': settings, ...scripts } },
    { name: runName(plan), component: COMPONENT },
  )
}
