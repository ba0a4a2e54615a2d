/** How much of a quota is in use, as Cloud Monitoring last saw it. */
import { isObject } from '../../src/check.ts'
import { FacetError } from '../../src/errors.ts'
import type { Rest } from './rest.ts'

export interface QuotaUse {
  readonly project: string
  /** Such as `compute.googleapis.com`. */
  readonly service: string
  /** Such as `compute.googleapis.com/nvidia_l4_gpus`. */
  readonly metric: string
  /** Left out: of the whole project. */
  readonly region?: string
}

/** Use of what is allocated may be told once a day only. */
const WITHIN_MS = 26 * 3_600_000

/** Undefined where it is not told, or may not be read: whoever makes machines need not be allowed to. */
export async function usedOf(
  rest: Rest,
  { project, service, metric, region = 'global' }: QuotaUse,
  signal: AbortSignal,
): Promise<number | undefined> {
  const nowMs = Date.now()
  const query = {
    filter: [
      'metric.type="serviceruntime.googleapis.com/quota/allocation/usage"',
      'resource.type="consumer_quota"',
      `resource.labels.service="${service}"`,
      `resource.labels.location="${region}"`,
      `metric.labels.quota_metric="${metric}"`,
    ].join(' AND '),
    'interval.startTime': new Date(nowMs - WITHIN_MS).toISOString(),
    'interval.endTime': new Date(nowMs).toISOString(),
  }
  try {
    const path = `/v3/projects/${project}/timeSeries`
    const { timeSeries } = await rest.call(`read the use of ${metric}`, 'monitoring', path, signal, { query })
    const newest = (Array.isArray(timeSeries) ? timeSeries : [])
      .map(newestOf)
      .filter((one) => !Number.isNaN(one))
    return newest.length === 0 ? undefined : newest.reduce((sum, one) => sum + one, 0)
  } catch (error) {
    if (error instanceof FacetError && error.code !== 'aborted') return undefined
    throw error
  }
}

/** The first point is the newest. */
function newestOf(series: unknown): number {
  const [point] = isObject(series) && Array.isArray(series.points) ? series.points : []
  return isObject(point) && isObject(point.value) ? Number(point.value.int64Value) : Number.NaN
}
