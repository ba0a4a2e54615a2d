/** A Google Cloud project in memory: what Cloud Run, Cloud Build and the JSON APIs of the fake know of each other. */

export interface FakeBuild {
  readonly id: string
  readonly request: Readonly<Record<string, never>>
  readonly image: string
  readonly tags: readonly string[]
  status: string
  detail: string
  /** Looks so far. */
  looks: number
}

export interface FakeBucket {
  readonly resource: Record<string, unknown>
  readonly objects: Map<string, Buffer>
}

export interface FakeServiceState {
  resource: Record<string, unknown>
  /** Looks until it has settled. */
  looks: number
}

export interface FakeRevision {
  readonly template: Readonly<Record<string, unknown>>
  requests: number
  errors: number
}

export interface FakeSecret {
  resource: Record<string, unknown>
  readonly versions: { name: string; state: string; data: string }[]
}

export interface FakePolicy {
  version?: number
  etag?: string
  bindings: { role: string; members: string[]; condition?: object }[]
}

export class FakeProject {
  /** By address. */
  readonly accounts: Map<string, Record<string, unknown>> = new Map()
  readonly buckets: Map<string, FakeBucket> = new Map()
  readonly repositories: Map<string, Record<string, unknown>> = new Map()
  /** By reference with its tag; the digest. */
  readonly images: Map<string, string> = new Map()
  readonly builds: FakeBuild[] = []
  readonly secrets: Map<string, FakeSecret> = new Map()
  readonly services: Map<string, FakeServiceState> = new Map()
  /** By full name, with what it was made from. */
  readonly revisions: Map<string, FakeRevision> = new Map()
  /** Of a revision's answers, which are to be failures from one look at Cloud Monitoring to the next. */
  errorsOf: (revision: string) => number = () => 0
  /** By full resource name. */
  readonly policies: Map<string, FakePolicy> = new Map()
  readonly log: string[] = []
  /** Where the service answers. */
  uri = 'https://facet-gemma-1.us-central1.run.app'
  /** Of the next builds; undefined: they succeed. */
  buildFails: string | undefined
  /** What a revision ends with; undefined: it is ready. */
  revisionFails: { readonly revisionReason: string; readonly message: string } | undefined
  /** Everything that was changed, in order. */
  readonly changes: string[] = []
  #count = 0

  constructor() {
    this.buckets.set('models', { resource: { name: 'models', labels: {} }, objects: new Map() })
  }

  next(): number {
    return ++this.#count
  }

  changed(what: string): void {
    this.changes.push(what)
  }

  /** What a monthly bill would show. */
  get billed(): string[] {
    return [
      ...[...this.buckets.keys()].filter((name) => name !== 'models'),
      ...this.repositories.keys(),
      ...this.images.keys(),
      ...this.secrets.keys(),
      ...this.services.keys(),
      ...this.builds.filter(({ status }) => ['QUEUED', 'WORKING'].includes(status)).map(({ id }) => id),
    ]
  }

  may(member: string, role: string, on: string): boolean {
    const { bindings } = this.policies.get(on) ?? { bindings: [] }
    return bindings.some((one) => one.role === role && one.members.includes(member))
  }

  /** Builds go on with every look. */
  advanceBuilds(): void {
    for (const build of this.builds) {
      build.looks++
      if (build.status === 'QUEUED' && build.looks > 2) build.status = 'WORKING'
      else if (build.status === 'WORKING' && build.looks > 5) this.#finish(build)
    }
  }

  #finish(build: FakeBuild): void {
    const { source, serviceAccount, steps } = build.request as unknown as {
      readonly steps: readonly { readonly id: string; readonly args: readonly string[] }[]
      readonly source: { readonly storageSource: { readonly bucket: string; readonly object: string } }
      readonly serviceAccount: string
    }
    const { bucket, object } = source.storageSource
    const member = `serviceAccount:${serviceAccount.split('/').at(-1)}`
    const repository = [...this.repositories.keys()].find((name) =>
      build.image.includes(`/${name.split('/').at(-1)}/`),
    )
    const bytes = this.buckets.get(bucket)?.objects.get(object)
    const reads = this.may(member, 'roles/storage.admin', `//storage.googleapis.com/${bucket}`)
    const writes = this.may(
      member,
      'roles/artifactregistry.writer',
      `//artifactregistry.googleapis.com/${repository}`,
    )
    const model = steps.find(({ id }) => id === 'model')?.args.find((arg) => arg.startsWith('gs://'))
    const from = `//storage.googleapis.com/${model?.split('/')[2]}`
    const copies = model === undefined || this.may(member, 'roles/storage.objectViewer', from)
    build.detail = !copies
      ? 'AccessDeniedException: 403'
      : !bytes || !reads
        ? 'could not fetch the source'
        : !writes
          ? 'denied: push'
          : ''
    if (this.buildFails !== undefined) build.detail = this.buildFails
    build.status = build.detail === '' ? 'SUCCESS' : 'FAILURE'
    this.buckets
      .get(bucket)
      ?.objects.set(`logs/log-${build.id}.txt`, Buffer.from(`starting\n${build.detail}\n`))
    if (build.status === 'SUCCESS') this.images.set(build.image, `sha256:${this.next()}`)
  }

  /** What keeps a revision from starting: the roles that it needs are checked as Cloud Run does. */
  problemOf(
    service: Record<string, unknown>,
  ): { revisionReason?: string; reason?: string; message: string } | undefined {
    const template = service.template as {
      readonly serviceAccount: string
      readonly containers: readonly {
        readonly image: string
        readonly env: readonly { readonly valueSource?: object }[]
      }[]
      readonly volumes?: readonly { readonly gcs: { readonly bucket: string } }[]
    }
    const [container] = template.containers
    const member = `serviceAccount:${template.serviceAccount}`
    if (!this.accounts.has(template.serviceAccount))
      return { reason: 'CONTAINER_PERMISSION_DENIED', message: 'The service account does not exist.' }
    if (!this.images.has(container!.image))
      return { reason: 'CONTAINER_MISSING', message: `Image '${container!.image}' not found.` }
    const [volume] = template.volumes ?? []
    const model = `//storage.googleapis.com/${volume?.gcs.bucket}`
    if (volume && !this.may(member, 'roles/storage.objectViewer', model))
      return {
        revisionReason: 'HEALTH_CHECK_CONTAINER_ERROR',
        message: `${member} does not have storage.objects.list access to the bucket.`,
      }
    return this.revisionFails
  }
}
