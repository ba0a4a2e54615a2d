/** The bucket of a build, and the registry that holds its images. */
import { FacetError } from '../../src/errors.ts'
import type { Rest } from '../google/rest.ts'
import type { Action, LiveResource } from '../target.ts'
import { lastOf, type RunNames } from './names.ts'
import { listAt, ownerOf, type Part, textAt, toJsonObject } from './part.ts'

export class Bucket implements Part {
  readonly kind = 'Bucket'
  readonly #rest: Rest
  readonly #names: RunNames

  constructor(rest: Rest, names: RunNames) {
    this.#rest = rest
    this.#names = names
  }

  get #path(): string {
    return `/storage/v1/b/${this.#names.bucket}`
  }

  async read(signal: AbortSignal): Promise<LiveResource[]> {
    const { bucket } = this.#names
    const found = await this.#rest.find(`read bucket ${bucket}`, 'storage', this.#path, signal)
    if (!found) return []
    const [id, name, body] = [`gs://${bucket}`, bucket, toJsonObject(found)]
    return [{ id, kind: this.kind, name, body, owner: ownerOf(found), billable: true }]
  }

  async apply(action: Action, signal: AbortSignal): Promise<void> {
    const { bucket, project } = this.#names
    const what = `${action.type} bucket ${bucket}`
    if (action.type === 'delete') return this.#remove(what, signal)
    const json = action.want.body
    if (action.type === 'update')
      await this.#rest.call(what, 'storage', this.#path, signal, { method: 'PATCH', json })
    else await this.#rest.create(what, 'storage', '/storage/v1/b', signal, { query: { project }, json })
  }

  /** Text of an object; undefined where there is none. */
  async text(object: string, signal: AbortSignal): Promise<string | undefined> {
    const path = `${this.#path}/o/${encodeURIComponent(object)}`
    const found = await this.#rest.find(`read ${object}`, 'storage', path, signal, { alt: 'media' })
    return found && textAt(found, 'text')
  }

  /** Unless it is there: names are hashes of what they hold. */
  async upload(
    object: string,
    type: string,
    pack: () => Promise<Uint8Array<ArrayBuffer>>,
    signal: AbortSignal,
  ): Promise<void> {
    const { bucket } = this.#names
    const path = `${this.#path}/o/${encodeURIComponent(object)}`
    if (await this.#rest.find(`read ${object}`, 'storage', path, signal)) return
    await this.#rest.call(`upload ${object}`, 'storage', `/upload/storage/v1/b/${bucket}/o`, signal, {
      method: 'POST',
      query: { uploadType: 'media', name: object },
      bytes: { type, body: await pack() },
    })
  }

  /** Only an empty one can go. */
  async #remove(what: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      const page = await this.#rest.find(what, 'storage', `${this.#path}/o`, signal)
      const objects = listAt(page, 'items')
      if (objects.length === 0) break
      for (const object of objects) {
        const path = `${this.#path}/o/${encodeURIComponent(textAt(object, 'name'))}`
        await this.#rest.remove(what, 'storage', path, signal)
      }
    }
    await this.#rest.remove(what, 'storage', this.#path, signal)
  }
}

/**
 * What a model directory holds, in one word: facet.json has the hash of every file.
 *
 * @throws FacetError not_found where no model lies there
 */
export async function modelVersion(
  rest: Rest,
  { modelBucket, modelFolder }: RunNames,
  signal: AbortSignal,
): Promise<string> {
  const object = modelFolder === '' ? 'facet.json' : `${modelFolder}/facet.json`
  const path = `/storage/v1/b/${modelBucket}/o/${encodeURIComponent(object)}`
  const found = await rest.find(`read gs://${modelBucket}/${object}`, 'storage', path, signal)
  if (found) return textAt(found, 'md5Hash') || textAt(found, 'generation')
  throw new FacetError(
    'not_found',
    `modelDirectory: there is no gs://${modelBucket}/${object}; copy a directory made by facet convert there.`,
    { field: 'modelDirectory' },
  )
}

export class Registry implements Part {
  readonly kind = 'Artifact Registry repository'
  readonly #rest: Rest
  readonly #names: RunNames

  constructor(rest: Rest, names: RunNames) {
    this.#rest = rest
    this.#names = names
  }

  async read(signal: AbortSignal): Promise<LiveResource[]> {
    const { repository } = this.#names
    const name = lastOf(repository)
    const found = await this.#rest.find(
      `read repository ${name}`,
      'artifactregistry',
      `/v1/${repository}`,
      signal,
    )
    if (!found) return []
    const body = toJsonObject(found)
    return [{ id: repository, kind: this.kind, name, body, owner: ownerOf(found), billable: true }]
  }

  async apply(action: Action, signal: AbortSignal): Promise<void> {
    const { repository, location } = this.#names
    const name = lastOf(repository)
    const what = `${action.type} repository ${name}`
    const api = 'artifactregistry'
    if (action.type === 'delete') return this.#rest.remove(what, api, `/v1/${repository}`, signal)
    const json = action.want.body
    if (action.type === 'update') {
      const query = { updateMask: 'labels' }
      await this.#rest.call(what, api, `/v1/${repository}`, signal, { method: 'PATCH', query, json })
    } else {
      const query = { repositoryId: name }
      await this.#rest.create(what, api, `/v1/${location}/repositories`, signal, { query, json })
    }
  }

  /** Tag and version of every image of the package; none where there is no such repository. */
  async images(signal: AbortSignal): Promise<readonly { readonly tag: string; readonly version: string }[]> {
    const path = `/v1/${this.#names.repository}/packages/facet/tags`
    const query = { pageSize: '1000' }
    const found = await this.#rest.find('read images', 'artifactregistry', path, signal, query)
    return listAt(found, 'tags').map((tag) => ({
      tag: lastOf(textAt(tag, 'name')),
      version: textAt(tag, 'version'),
    }))
  }

  /** With every tag that it has. */
  async removeImage(version: string, signal: AbortSignal): Promise<void> {
    const what = `delete image ${lastOf(version)}`
    await this.#rest.remove(what, 'artifactregistry', `/v1/${version}`, signal, { force: 'true' })
  }
}
