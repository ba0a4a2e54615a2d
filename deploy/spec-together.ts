/** Checks what fields of a deployment say together, once each is right by itself. */
import { ConfigProblem, isObject, oneOf, type Path } from '../src/check.ts'
import { offerOf, regionsOf } from './prices.ts'
import { accelerator, acceleratorsOf } from './profiles.ts'
import type { DeploymentSpec, GkeSpec, VertexSpec } from './spec.ts'

/** @throws ConfigProblem, with the field */
export function checkTogether(spec: DeploymentSpec, path: Path): void {
  if (spec.target === 'workers') return
  if (spec.target === 'cloudrun') {
    if (spec.modelIn === 'image' && spec.image !== undefined)
      throw new ConfigProblem(
        [...path, 'modelIn'],
        'is for the image that up builds, and image names one that is there; leave one of the two out',
      )
    // Google's sign-in and a key would take the same header.
    if (spec.keysEnv !== undefined && !spec.public)
      throw new ConfigProblem(
        [...path, 'keysEnv'],
        'is for public services: callers of this one sign in with Google; set public, or leave keysEnv out',
      )
    return
  }
  checkRegion(spec, path)
  if (spec.target === 'vertex-gpu' || spec.target === 'vertex-tpu') checkVertex(spec, path)
  if ('cluster' in spec && isObject(spec.cluster)) checkZones(spec, path)
  const { min, max } = spec.replicas ?? {}
  if (min !== undefined && max !== undefined && min > max) {
    throw new ConfigProblem([...path, 'replicas', 'min'], `is ${min}, but max is ${max}`)
  }
}

function checkVertex(spec: VertexSpec, path: Path): void {
  const { image, region, capacity = [], garden, replicas, scaleToZero, flexStartHours } = spec
  const refuse = (field: string, problem: string): never => {
    throw new ConfigProblem([...path, field], problem)
  }
  if (image !== undefined && !image.startsWith(`${region}-docker.pkg.dev/`))
    refuse('image', `must lie in an Artifact Registry repository of ${region}: ${region}-docker.pkg.dev/…`)
  if (capacity.length > 1) refuse('capacity', 'must name one kind: Vertex AI does not go on to another')
  if (flexStartHours !== undefined && capacity[0] !== 'flex-start')
    refuse('flexStartHours', "needs capacity: ['flex-start']")
  if (scaleToZero && replicas?.min !== 0) refuse('scaleToZero', 'needs replicas with min 0')
  if (!garden) return
  const own = (['image', 'server', 'dtype', 'kvDtype', 'maxSequences', 'weights'] as const).find(
    (field) => spec[field] !== undefined,
  )
  if (own) refuse(own, "has no effect with garden, whose recipe is Google's; leave one of the two out")
}

function checkRegion(spec: GkeSpec | VertexSpec, path: Path): void {
  const name = spec.accelerator ?? acceleratorsOf(spec.target)[0]!
  oneOf(...regionsOf(name))(spec.region, [...path, 'region'])
}

/** Nodes come from zones that have the accelerator, and a cluster in one zone has its nodes there. */
function checkZones({ region, accelerator: name, target, cluster }: GkeSpec, path: Path): void {
  if (typeof cluster !== 'object') return
  const device = accelerator(name ?? acceleratorsOf(target)[0]!)
  const { zones: offered } = offerOf(device, region)
  const { location: place = region, zones } = cluster
  if (place !== region && !place.startsWith(`${region}-`))
    throw new ConfigProblem([...path, 'cluster', 'location'], `must be ${region} or one of its zones`)
  const possible = place === region ? offered : offered.filter((zone) => zone === place)
  if (possible.length === 0)
    throw new ConfigProblem(
      [...path, 'cluster', 'location'],
      `has no ${device.title}; there are some in ${offered.join(', ')}`,
    )
  for (const [index, zone] of (zones ?? []).entries())
    oneOf(...possible)(zone, [...path, 'cluster', 'zones', index])
}
