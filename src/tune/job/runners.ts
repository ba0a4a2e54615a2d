/** The places where tunings run; each loads its client only when it is asked for. */
import { FacetError } from '../../errors.ts'
import type { JobPlan, Runner } from './job.ts'
import type { TunePlace } from './spec.ts'

const PLACES: Readonly<Record<TunePlace, (plan: JobPlan) => Promise<Runner>>> = {
  gke: async (plan) => (await import('./gke-open.ts')).openGke(plan),
  vertex: notYet,
  'local-docker': notYet,
}

/** @throws FacetError unsupported, where the package that it takes is not installed */
export function openRunner(plan: JobPlan): Promise<Runner> {
  return PLACES[plan.on](plan)
}

async function notYet({ on }: JobPlan): Promise<Runner> {
  throw new FacetError('unsupported', `on: tunings do not run on ${on} yet; take gke.`, { field: 'on' })
}
