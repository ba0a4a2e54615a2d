/** Limits of a project by Cloud Quotas, compared with what is wanted before anything is made. */
import type { CloudQuotasClient, protos } from '@google-cloud/cloudquotas'
import { FacetError } from '../../src/errors.ts'
import { type Asking, ask, orMissing } from './ask.ts'
import { usedOf } from './quota-use.ts'
import type { Rest } from './rest.ts'

/** What one quota must leave room for. */
export interface QuotaNeed {
  /** Such as `NVIDIA-L4-GPUS-per-project-region`. */
  readonly id: string
  /** For people: `NVIDIA L4 GPUs in us-central1`. */
  readonly what: string
  readonly wanted: number
  /** Such as `{ region: 'us-central1', gpu_family: 'NVIDIA_H100' }`; none for a quota of the whole project. */
  readonly dimensions: Readonly<Record<string, string>>
}

export interface QuotaShortage extends QuotaNeed {
  readonly limit: number
}

export interface QuotaOptions extends Asking {
  readonly client: CloudQuotasClient
  readonly project: string
  /** Such as `compute.googleapis.com`. */
  readonly service: string
  /** Tells what is in use. Left out: only limits are compared. */
  readonly rest?: Rest
}

/**
 * @param onUse told of a limit that would suffice, were not so much of it in use already: the figure is minutes
 *   old or more, so it is no reason to refuse
 * @returns needs above their limit; a quota that the project does not have, or whose limit is not told, is none
 * @throws FacetError with the cause, where quotas cannot be read
 */
export async function shortages(
  needs: readonly QuotaNeed[],
  options: QuotaOptions,
  onUse: (warning: string) => void = () => {},
): Promise<readonly QuotaShortage[]> {
  const found = await Promise.all(needs.map((need) => limitOf(need, options)))
  const known = needs.flatMap((need, index) => (found[index] ? [{ ...need, ...found[index] }] : []))
  const short = known.filter(({ limit, wanted }) => limit < wanted)
  if (short.length > 0) return short
  for (const { id, what, wanted, limit, metric, dimensions } of known) {
    const { rest, signal, project, service } = options
    // Use is told by metric and place, and not by family.
    const other = Object.keys(dimensions).some((name) => name !== 'region')
    if (rest === undefined || metric === '' || other) continue
    const of = {
      project,
      service,
      metric,
      ...(dimensions.region !== undefined && { region: dimensions.region }),
    }
    const used = await usedOf(rest, of, signal)
    if (used !== undefined && limit - used < wanted)
      onUse(
        `Of ${id} (${what}) ${used} of ${limit} are in use, and ${wanted} are wanted, by the last figure of Cloud Monitoring.`,
      )
  }
  return []
}

/** Who may make machines need not be allowed to read quotas; the API says so when one is spent. */
export async function unlessUnreadable(
  compare: () => Promise<void>,
  onWarning: (warning: string) => void,
): Promise<void> {
  try {
    await compare()
  } catch (error) {
    const unreadable = error instanceof FacetError && ['forbidden', 'unavailable'].includes(error.code)
    if (!unreadable) throw error
    onWarning(`Quotas were not compared. ${error.message}`)
  }
}

/** One sentence for all of them. */
export function toQuotaError(short: readonly QuotaShortage[], project: string): FacetError {
  const parts = short.map(
    ({ id, what, wanted, limit }) => `${id} (${what}) is ${limit}, but ${wanted} are wanted`,
  )
  return new FacetError(
    'rate_limited',
    `QUOTA: The limit of ${parts.join('; of ')}. Ask for more at https://console.cloud.google.com/iam-admin/quotas?project=${project}, or take less; nothing was made.`,
    { retry: 'never' },
  )
}

interface Limit {
  readonly limit: number
  /** By which its use is counted, such as `compute.googleapis.com/nvidia_l4_gpus`. */
  readonly metric: string
}

/** The most exact entry that fits; negative limits are none. */
async function limitOf(
  { id, dimensions }: QuotaNeed,
  { client, project, service, rest: _, ...asking }: QuotaOptions,
): Promise<Limit | undefined> {
  const name = `projects/${project}/locations/global/services/${service}/quotaInfos/${id}`
  const info = await orMissing(ask(`read quota ${id}`, (once) => client.getQuotaInfo({ name }, once), asking))
  const fitting = (info?.dimensionsInfos ?? [])
    .filter((entry) => fits(entry, dimensions))
    .sort((one, other) => sizeOf(other) - sizeOf(one))
  const value = Number(fitting[0]?.details?.value ?? Number.NaN)
  return Number.isNaN(value) || value < 0 ? undefined : { limit: value, metric: info?.metric ?? '' }
}

type Entry = protos.google.api.cloudquotas.v1.IDimensionsInfo

const sizeOf = ({ dimensions }: Entry): number => Object.keys(dimensions ?? {}).length

/** Left-out dimensions stand for all; then the entry says where it applies. */
function fits({ dimensions, applicableLocations }: Entry, wanted: QuotaNeed['dimensions']): boolean {
  const same = Object.entries(dimensions ?? {}).every(([name, value]) => wanted[name] === value)
  const { region } = wanted
  const places = applicableLocations ?? []
  return same && (region === undefined || places.length === 0 || places.includes(region))
}
