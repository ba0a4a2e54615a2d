/** What the containers of an endpoint have written, out of Cloud Logging. */
import { isObject } from '../../src/check.ts'
import type { Rest } from '../google/rest.ts'
import { baseName, type VertexPlan } from '../vertex.ts'

const LINES = 200

/** The last lines, the newest last. @throws FacetError, for example where roles/logging.viewer is missing */
export async function logLines(rest: Rest, plan: VertexPlan, signal: AbortSignal): Promise<string[]> {
  const { project, region } = plan.spec
  const filter = [
    'resource.type="aiplatform.googleapis.com/Endpoint"',
    `resource.labels.endpoint_id="${baseName(plan)}"`,
    `resource.labels.location="${region}"`,
    'log_id("aiplatform.googleapis.com/prediction_container")',
  ]
  const json = {
    resourceNames: [`projects/${project}`],
    filter: filter.join(' AND '),
    orderBy: 'timestamp desc',
    pageSize: LINES,
  }
  const what = `read the log of Vertex AI endpoint ${baseName(plan)}`
  const { entries } = await rest.call(what, 'logging', '/v2/entries:list', signal, { method: 'POST', json })
  const found = Array.isArray(entries) ? entries.filter(isObject) : []
  return found.toReversed().flatMap(linesOf)
}

/** Of one entry of Cloud Logging. */
export function linesOf({ textPayload, jsonPayload }: Readonly<Record<string, unknown>>): string[] {
  const message = isObject(jsonPayload) ? jsonPayload.message : undefined
  const text = typeof textPayload === 'string' ? textPayload : message
  return typeof text === 'string' ? text.split('\n').filter((line) => line.trim() !== '') : []
}
