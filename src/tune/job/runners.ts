/** The places where tunings run; each loads its client only when it is asked for. */
import type { JobPlan, Runner } from './job.ts'
import type { TunePlace } from './spec.ts'

const PLACES: Readonly<Record<TunePlace, (plan: JobPlan, folder: string) => Promise<Runner>>> = {
  gke: async (plan) => (await import('./gke-open.ts')).openGke(plan),
  vertex: async (plan) => (await import('./vertex-open.ts')).openVertex(plan),
  'local-docker': async (_, folder) => (await import('./docker-open.ts')).openDocker(folder),
}

/**
 * @param folder that paths of the plan are relative to
 * @throws FacetError unsupported, where the package that it takes is not installed
 */
export function openRunner(plan: JobPlan, folder: string): Promise<Runner> {
  return PLACES[plan.on](plan, folder)
}
