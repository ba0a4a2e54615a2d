/** What a deployment's resources on Google Cloud are called: the same names for the same deployment. */
import { createHash } from 'node:crypto'
import type { CloudRunSpec } from '../spec.ts'

export interface RunNames {
  /** Of the deployment. */
  readonly owner: string
  readonly project: string
  readonly region: string
  /** `projects/…/locations/…`. */
  readonly location: string
  readonly service: string
  /** Whom the service runs as, and whom the build: addresses of service accounts. */
  readonly account: string
  readonly builder: string
  /** For the build's source and its log. */
  readonly bucket: string
  readonly repository: string
  /** Without its tag. */
  readonly image: string
  readonly secret: string
  /** Of the model; the folder in it, empty for the bucket itself. */
  readonly modelBucket: string
  readonly modelFolder: string
}

export function runNames({ name, spec }: { readonly name: string; readonly spec: CloudRunSpec }): RunNames {
  const { project, region, modelDirectory } = spec
  const location = `projects/${project}/locations/${region}`
  const own = `facet-${name}`
  const [modelBucket, ...folder] = modelDirectory
    .replace(/^gs:\/\//, '')
    .replace(/\/+$/, '')
    .split('/')
  const address = (id: string): string => `${shortened(id, 30)}@${project}.iam.gserviceaccount.com`
  return {
    owner: name,
    project,
    region,
    location,
    service: `${location}/services/${own}`,
    account: address(own),
    builder: address(`${own}-build`),
    bucket: shortened(`${project}-${own}`, 63),
    repository: `${location}/repositories/${own}`,
    image: `${region}-docker.pkg.dev/${project}/${own}/facet`,
    secret: `projects/${project}/secrets/${own}-keys`,
    modelBucket: modelBucket!,
    modelFolder: folder.join('/'),
  }
}

/** Two long names that begin alike stay two. */
function shortened(name: string, most: number): string {
  if (name.length <= most) return name
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 6)
  return `${name.slice(0, most - 7)}-${hash}`
}

/** The last part of a resource's name. */
export function lastOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1)
}
