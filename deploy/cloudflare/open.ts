/** Opens a Cloudflare account for a plan, by the variables that wrangler goes by. */
import { toApiKeys } from '../../src/edge/keys.ts'
import type { CanaryTarget } from '../canary.ts'
import { fromEnvironment } from '../environment.ts'
import { packageRoot } from '../package-root.ts'
import type { Plan } from '../plan.ts'
import type { Place, Target } from '../target.ts'
import type { WorkersPlan } from '../workers.ts'
import { Cloudflare } from './api.ts'
import { WorkersCanary } from './canary.ts'
import { type WorkersOptions, WorkersTarget } from './target.ts'

/** @throws FacetError unauthorized, with the variable that is not set */
export async function openWorkers(plan: Plan, place: Place): Promise<Target<Plan>> {
  // Only plans of Workers are opened here.
  return new WorkersTarget(plan as WorkersPlan, optionsOf(place)) as unknown as Target<Plan>
}

/** @throws FacetError unauthorized, with the variable that is not set */
export async function openWorkersCanary(plan: Plan, place: Place): Promise<CanaryTarget> {
  return new WorkersCanary(plan as WorkersPlan, optionsOf(place))
}

function optionsOf(place: Place): WorkersOptions {
  const baseURL = process.env.CLOUDFLARE_API_BASE_URL
  const cloudflare = new Cloudflare({
    account: fromEnvironment('CLOUDFLARE_ACCOUNT_ID'),
    token: fromEnvironment('CLOUDFLARE_API_TOKEN'),
    ...(baseURL !== undefined && { baseURL }),
  })
  return {
    cloudflare,
    folder: place.folder,
    root: packageRoot(),
    secretOf: fromEnvironment,
    gateway: place,
    checkKeys: toApiKeys,
  }
}
