/** The targets that `facet up`, `status`, `logs` and `down` reach. */
import type { CanaryTarget } from './canary.ts'
import type { Plan } from './plan.ts'
import type { Operations } from './state.ts'
import type { Place, Target, TargetName } from './target.ts'

/** By name; each loads its client only when it is asked for. */
const TARGETS: Readonly<
  Record<TargetName, (plan: Plan, operations: Operations, place: Place) => Promise<Target<Plan>>>
> = {
  'gke-gpu': openGke,
  'gke-tpu': openGke,
  'vertex-gpu': openVertex,
  'vertex-tpu': openVertex,
  cloudrun: openRun,
  workers: openCloudflare,
}

/** @throws FacetError unsupported, where the package that it takes is not installed */
export function openTarget(plan: Plan, operations: Operations, place: Place): Promise<Target<Plan>> {
  return TARGETS[plan.spec.target](plan, operations, place)
}

/** How two versions share the requests of each. */
const CANARIES: Readonly<
  Record<TargetName, (plan: Plan, operations: Operations, place: Place) => Promise<CanaryTarget>>
> = {
  'gke-gpu': openGkeCanary,
  'gke-tpu': openGkeCanary,
  'vertex-gpu': openVertexCanary,
  'vertex-tpu': openVertexCanary,
  cloudrun: openRunCanary,
  workers: openCloudflareCanary,
}

/** @throws FacetError unsupported, where the package that it takes is not installed */
export function openCanary(plan: Plan, operations: Operations, place: Place): Promise<CanaryTarget> {
  return CANARIES[plan.spec.target](plan, operations, place)
}

async function openGkeCanary(plan: Plan): Promise<CanaryTarget> {
  const { openKubernetesCanary } = await import('./k8s/open.ts')
  return openKubernetesCanary(plan)
}

async function openGke(plan: Plan, operations: Operations): Promise<Target<Plan>> {
  const { openKubernetes } = await import('./k8s/open.ts')
  return openKubernetes(plan, operations)
}

async function openVertexCanary(plan: Plan, operations: Operations): Promise<CanaryTarget> {
  const { openVertexCanary: open } = await import('./vertex/open.ts')
  return open(plan, operations)
}

async function openVertex(plan: Plan, operations: Operations): Promise<Target<Plan>> {
  const { openVertex: open } = await import('./vertex/open.ts')
  return open(plan, operations)
}

async function openRun(plan: Plan): Promise<Target<Plan>> {
  const { openCloudRun } = await import('./cloudrun/open.ts')
  return openCloudRun(plan)
}

async function openRunCanary(plan: Plan): Promise<CanaryTarget> {
  const { openCloudRunCanary } = await import('./cloudrun/open.ts')
  return openCloudRunCanary(plan)
}

async function openCloudflare(plan: Plan, _: Operations, place: Place): Promise<Target<Plan>> {
  const { openWorkers } = await import('./cloudflare/open.ts')
  return openWorkers(plan, place)
}

async function openCloudflareCanary(plan: Plan, _: Operations, place: Place): Promise<CanaryTarget> {
  const { openWorkersCanary } = await import('./cloudflare/open.ts')
  return openWorkersCanary(plan, place)
}
