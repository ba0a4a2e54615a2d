/** Cloud Storage and Artifact Registry of the fake. */
import { createHash } from 'node:crypto'
import { json, missing, policyOf, Refused, type Route, setPolicy, there } from './fake-answer.ts'
import type { FakePolicy, FakeProject } from './project.ts'

export function storage(project: FakeProject): Route[] {
  const bucketOf = (name: string): NonNullable<ReturnType<typeof project.buckets.get>> => {
    const found = project.buckets.get(name)
    if (!found) throw missing(name)
    // Names are the whole world's.
    if (found.resource.foreign)
      throw new Refused(403, { message: `${name} does not have storage.buckets.get access.` })
    return found
  }
  return [
    [
      'GET',
      /^\/storage\/v1\/b\/([^/]+)\/iam$/,
      ([name]) => {
        bucketOf(name!)
        return policyOf(project, `//storage.googleapis.com/${name}`)
      },
    ],
    [
      'PUT',
      /^\/storage\/v1\/b\/([^/]+)\/iam$/,
      ([name], asked) => setPolicy(project, `//storage.googleapis.com/${name}`, json<FakePolicy>(asked)),
    ],
    ['GET', /^\/storage\/v1\/b\/([^/]+)$/, ([name]) => bucketOf(name!).resource],
    [
      'POST',
      /^\/storage\/v1\/b$/,
      (_, asked) => {
        const resource = json(asked)
        const name = String(resource.name)
        if (project.buckets.has(name))
          throw new Refused(409, { message: 'The requested bucket name is not available.' })
        project.buckets.set(name, { resource, objects: new Map() })
        project.changed(`create bucket ${name}`)
        return resource
      },
    ],
    [
      'PATCH',
      /^\/storage\/v1\/b\/([^/]+)$/,
      ([name], asked) => {
        project.changed(`update bucket ${name}`)
        return Object.assign(bucketOf(name!).resource, json(asked))
      },
    ],
    [
      'DELETE',
      /^\/storage\/v1\/b\/([^/]+)$/,
      ([name]) => {
        if (bucketOf(name!).objects.size > 0)
          throw new Refused(409, { message: 'The bucket you tried to delete is not empty.' })
        project.buckets.delete(name!)
        project.policies.delete(`//storage.googleapis.com/${name}`)
        project.changed(`delete bucket ${name}`)
        return undefined
      },
    ],
    [
      'GET',
      /^\/storage\/v1\/b\/([^/]+)\/o$/,
      ([name]) => ({ items: [...bucketOf(name!).objects.keys()].map((one) => ({ name: one })) }),
    ],
    [
      'GET',
      /^\/storage\/v1\/b\/([^/]+)\/o\/(.+)$/,
      ([name, object], { query }) => {
        const found = bucketOf(name!).objects.get(object!)
        if (!found) throw missing(object!)
        const md5Hash = createHash('md5').update(found).digest('base64')
        return query.get('alt') === 'media' ? found : { name: object, md5Hash }
      },
    ],
    [
      'DELETE',
      /^\/storage\/v1\/b\/([^/]+)\/o\/(.+)$/,
      ([name, object]) => {
        if (!bucketOf(name!).objects.delete(object!)) throw missing(object!)
        project.changed(`delete ${object}`)
        return undefined
      },
    ],
    [
      'POST',
      /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/,
      ([name], { query, body }) => {
        bucketOf(name!).objects.set(query.get('name')!, body)
        project.changed(`upload ${query.get('name')}`)
        return { name: query.get('name') }
      },
    ],
  ]
}

export function registry(project: FakeProject): Route[] {
  const name = '(projects/[^/]+/locations/[^/]+/repositories/[^/:]+)'
  const on = (repository: string): string => `//artifactregistry.googleapis.com/${repository}`
  const repositoryOf = (repository: string): Record<string, unknown> => {
    const found = project.repositories.get(repository)
    if (!found) throw missing(repository)
    return found
  }
  const of = (repository: string): [string, string][] =>
    [...project.images].filter(([image]) => image.includes(`/${repository.split('/').at(-1)}/`))
  return [
    [
      'GET',
      new RegExp(`^/v1/${name}:getIamPolicy$`),
      ([one]) => {
        repositoryOf(one!)
        return policyOf(project, on(one!))
      },
    ],
    [
      'POST',
      new RegExp(`^/v1/${name}:setIamPolicy$`),
      ([one], asked) => setPolicy(project, on(one!), json<{ policy: FakePolicy }>(asked).policy),
    ],
    ['GET', new RegExp(`^/v1/${name}$`), ([one]) => repositoryOf(one!)],
    [
      'POST',
      /^\/v1\/(projects\/[^/]+\/locations\/[^/]+\/repositories)$/,
      ([parent], asked) => {
        const full = `${parent}/${asked.query.get('repositoryId')}`
        if (project.repositories.has(full)) throw there(full)
        project.repositories.set(full, { name: full, ...json(asked) })
        project.changed(`create repository ${full.split('/').at(-1)}`)
        return { done: false }
      },
    ],
    [
      'DELETE',
      new RegExp(`^/v1/${name}$`),
      ([one]) => {
        repositoryOf(one!)
        for (const [image] of of(one!)) project.images.delete(image)
        project.repositories.delete(one!)
        project.policies.delete(on(one!))
        project.changed(`delete repository ${one!.split('/').at(-1)}`)
        return { done: false }
      },
    ],
    [
      'GET',
      new RegExp(`^/v1/${name}/packages/facet/tags$`),
      ([one]) => {
        repositoryOf(one!)
        const tags = of(one!).map(([image, digest]) => ({
          name: `${one}/packages/facet/tags/${image.split(':').at(-1)}`,
          version: `${one}/packages/facet/versions/${digest}`,
        }))
        return { tags }
      },
    ],
    [
      'DELETE',
      new RegExp(`^/v1/${name}/packages/facet/versions/(.+)$`),
      ([one, digest], { query }) => {
        if (query.get('force') !== 'true')
          throw new Refused(400, { status: 'FAILED_PRECONDITION', message: 'The version is tagged.' })
        const found = of(one!).find(([, other]) => other === digest)
        if (!found) throw missing(digest!)
        project.images.delete(found[0])
        project.changed(`delete image ${found[0].split('/').at(-1)}`)
        return { done: false }
      },
    ],
  ]
}
