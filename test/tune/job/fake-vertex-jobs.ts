/** Vertex AI's job service, with a bucket and a log, in memory and behind Google's own client. */
import { FakeGoogle } from '../../google-apis/server.ts'
import { notFound } from '../../google-apis/status.ts'

/** When the first job is made. */
const FIRST_SECOND = 1_800_000_000

export interface FakeJob {
  readonly name: string
  readonly displayName: string
  readonly labels: Readonly<Record<string, string>>
  readonly jobSpec: unknown
  state: string
  error?: { readonly code: number; readonly message: string }
  readonly createTime: { readonly seconds: number }
  endTime?: { readonly seconds: number }
}

export class FakeVertexJobs {
  readonly jobs: Map<string, FakeJob> = new Map()
  /** By name of the object. */
  readonly objects: Map<string, string> = new Map()
  log: string[] = []
  /** What uploads are refused with. */
  refusal: { readonly status: number; readonly message: string } | undefined
  /** Looks that a job takes to end once it is cancelled. */
  cancelling = 1

  start(): Promise<FakeGoogle> {
    return FakeGoogle.start({
      from: 'aiplatform',
      service: 'google.cloud.aiplatform.v1.JobService',
      handlers: {
        CreateCustomJob: ({ parent, customJob }: { parent: string; customJob: Omit<FakeJob, 'name'> }) => {
          const name = `${parent.replace('my-project', '123456789')}/customJobs/${this.jobs.size + 1}`
          const seconds = FIRST_SECOND + this.jobs.size
          const job: FakeJob = { ...customJob, name, state: 'JOB_STATE_PENDING', createTime: { seconds } }
          this.jobs.set(name, job)
          return job
        },
        ListCustomJobs: ({ filter }: { filter: string }) => {
          const [, label, value] = /^labels\.([\w-]+)="(.*)"$/.exec(filter)!
          this.#moveOn()
          return { customJobs: [...this.jobs.values()].filter(({ labels }) => labels[label!] === value) }
        },
        CancelCustomJob: ({ name }: { name: string }) => {
          const job = this.jobs.get(name)
          if (!job) throw notFound(name)
          job.state = 'JOB_STATE_CANCELLING'
          return {}
        },
      },
    })
  }

  get newest(): FakeJob {
    return [...this.jobs.values()].at(-1)!
  }

  /** Cloud Storage and Cloud Logging. */
  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const url = new URL(String(input))
    const { pathname, searchParams } = url
    if (pathname === '/v2/entries:list')
      return Response.json({ entries: this.log.toReversed().map((textPayload) => ({ textPayload })) })
    if (pathname.startsWith('/upload/') && this.refusal) {
      const { status, message } = this.refusal
      return Response.json({ error: { code: status, message } }, { status })
    }
    if (pathname.startsWith('/upload/')) {
      this.objects.set(searchParams.get('name')!, await new Response(init!.body as BodyInit).text())
      return Response.json({})
    }
    const object = decodeURIComponent(pathname.split('/o/')[1] ?? '')
    if (object === '') {
      const names = [...this.objects.keys()].filter((name) => name.startsWith(searchParams.get('prefix')!))
      return Response.json({ items: names.map((name) => ({ name })) })
    }
    const text = this.objects.get(object)
    if (text === undefined)
      return Response.json({ error: { code: 404, message: 'No such object' } }, { status: 404 })
    return searchParams.get('alt') === 'media'
      ? new Response(text)
      : Response.json({ size: String(Buffer.byteLength(text)) })
  }

  #moveOn(): void {
    for (const job of this.jobs.values())
      if (job.state === 'JOB_STATE_CANCELLING' && this.cancelling-- <= 0)
        Object.assign(job, { state: 'JOB_STATE_CANCELLED', endTime: { seconds: FIRST_SECOND + 100 } })
  }
}
