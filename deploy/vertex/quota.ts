/** Whether the project's quota leaves room for a plan, before anything is made. */
import type { Asking } from '../google/ask.ts'
import { type QuotaOptions, shortages, toQuotaError, unlessUnreadable } from '../google/quotas.ts'
import type { Rest } from '../google/rest.ts'
import type { VertexPlan } from '../vertex.ts'

export interface Comparing {
  readonly client: QuotaOptions['client']
  readonly rest: Rest
  readonly onWarning: (warning: string) => void
  readonly asking: Asking
}

/**
 * Vertex AI charges what may run at most, not what runs.
 *
 * @throws FacetError rate_limited, with quota, limit and what is wanted
 */
export async function compareQuota(
  { accelerator, devices, replicas, spec }: VertexPlan,
  { client, rest, onWarning, asking }: Comparing,
): Promise<void> {
  const { project, region } = spec
  const need = {
    id: accelerator.vertexQuota,
    what: `${accelerator.title} for serving in ${region}`,
    wanted: replicas.max * devices,
    dimensions: { region },
  }
  await unlessUnreadable(async () => {
    const service = 'aiplatform.googleapis.com'
    const short = await shortages([need], { ...asking, client, rest, project, service }, onWarning)
    if (short.length > 0) throw toQuotaError(short, project)
  }, onWarning)
}
