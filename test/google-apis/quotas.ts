/** Google's CloudQuotas in memory: limits by the id of a quota. */
import type { FakeService } from './server.ts'
import { notFound } from './status.ts'

/** A limit, for the dimensions that it names and the places where it applies. */
export interface Limit {
  readonly value: number
  readonly dimensions?: Readonly<Record<string, string>>
  readonly applicableLocations?: readonly string[]
}

export class FakeQuotas {
  readonly service: FakeService
  /** A project has no quota that is not here. */
  readonly limits: Map<string, readonly Limit[]> = new Map()
  /** By which the use of a quota is counted. */
  readonly metrics: Map<string, string> = new Map()

  constructor() {
    this.service = {
      from: 'cloudquotas',
      service: 'google.api.cloudquotas.v1.CloudQuotas',
      handlers: {
        GetQuotaInfo: ({ name }: { readonly name: string }) => {
          const quotaId = name.split('/').at(-1)!
          const limits = this.limits.get(quotaId)
          if (!limits) throw notFound(name)
          const dimensionsInfos = limits.map(({ value, ...where }) => ({ ...where, details: { value } }))
          return { name, quotaId, metric: this.metrics.get(quotaId) ?? '', dimensionsInfos }
        },
      },
    }
  }
}
