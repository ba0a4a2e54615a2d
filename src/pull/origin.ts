/** Where a name says that its model is. */
import { FacetError } from '../errors.ts'

export type Origin =
  | { readonly kind: 'hub'; readonly name: string; readonly revision: string | undefined }
  | { readonly kind: 'kaggle'; readonly handle: string }
  | { readonly kind: 'gs'; readonly bucket: string; readonly prefix: string }
  | { readonly kind: 'web'; readonly url: string }
  | { readonly kind: 'folder'; readonly path: string }

const PART = '[\\w][\\w.-]*'
const HUB = new RegExp(`^(?:hf://)?(${PART}/${PART})(?:@([\\w./-]+))?$`)
const KAGGLE = new RegExp(`^kaggle://(${PART}/${PART}/${PART}/${PART}(?:/\\d+)?)$`)
const GS = /^gs:\/\/([a-z0-9][\w.-]*)(?:\/(.*))?$/

/**
 * Reads `google/gemma-2b-it`, with `@revision` if need be, `kaggle://google/gemma/transformers/2b-it`,
 * `gs://bucket/path`, an http(s) address (those of huggingface.co mean the model), or a path that
 * begins with `.`, `/` or `~`.
 *
 * @throws FacetError invalid_request
 */
export function toOrigin(name: string): Origin {
  if (/^(?:\.{1,2}|~|[A-Za-z]:)?[/\\]|^\.{1,2}$/.test(name)) return { kind: 'folder', path: name }
  const [, kaggle] = KAGGLE.exec(name) ?? []
  if (kaggle) return { kind: 'kaggle', handle: kaggle }
  const [, bucket, prefix = ''] = GS.exec(name) ?? []
  if (bucket) return { kind: 'gs', bucket, prefix }
  if (/^https?:\/\//.test(name) && URL.canParse(name)) {
    const page = new RegExp(`^https://huggingface\\.co/(${PART}/${PART})(?:/tree/([^?#]+))?/?$`).exec(name)
    return page ? { kind: 'hub', name: page[1]!, revision: page[2] } : { kind: 'web', url: name }
  }
  const [, repository, revision] = HUB.exec(name) ?? []
  if (repository && !repository.includes('..') && !revision?.includes('..')) {
    return { kind: 'hub', name: repository, revision }
  }
  const forms =
    'google/gemma-2b-it, kaggle://google/gemma/transformers/2b-it, gs://BUCKET/PATH, an https address or ./FOLDER'
  throw new FacetError(
    'invalid_request',
    `${JSON.stringify(name).slice(0, 80)} is no name of a model; give one like ${forms}.`,
    {
      field: 'name',
    },
  )
}

/** What the model may be called on disk. */
export function shortName(origin: Origin): string {
  const last = pathOf(origin).split(/[/\\]/).filter(Boolean).at(-1) ?? 'model'
  return last.replace(/\.(?:gguf|safetensors)$/, '').replaceAll(/[^\w.-]/g, '-')
}

function pathOf(origin: Origin): string {
  switch (origin.kind) {
    case 'hub':
      return origin.name
    case 'kaggle':
      return origin.handle.replace(/\/\d+$/, '')
    case 'gs':
      return `${origin.bucket}/${origin.prefix}`
    case 'web':
      return new URL(origin.url).pathname
    case 'folder':
      return origin.path
  }
}
