/** How an API server says no: the Status objects of a real one, word for word. */
import type { JsonObject } from '../../../../deploy/target.ts'

export interface Cause {
  readonly reason: string
  readonly message: string
  readonly field: string
}

/** Thrown anywhere inside the server; answered as it stands. */
export class Refusal extends Error {
  readonly code: number
  readonly body: JsonObject

  constructor(code: number, reason: string | undefined, message: string, details?: JsonObject) {
    super(message)
    this.code = code
    this.body = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      ...(reason === undefined ? {} : { reason }),
      ...(details ? { details } : {}),
      code,
    }
  }
}

export interface Named {
  readonly group: string
  readonly plural: string
}

/** `deployments.apps` */
export const qualified = ({ group, plural }: Named): string => (group === '' ? plural : `${plural}.${group}`)

const detailsOf = ({ group, plural }: Named, name: string): JsonObject => ({
  name,
  ...(group === '' ? {} : { group }),
  kind: plural,
})

export const badRequest = (message: string): Refusal => new Refusal(400, 'BadRequest', message)

export const notFound = (resource: Named, name: string): Refusal =>
  new Refusal(404, 'NotFound', `${qualified(resource)} "${name}" not found`, detailsOf(resource, name))

export const noSuchResource = (): Refusal =>
  new Refusal(404, 'NotFound', 'the server could not find the requested resource', {})

export const alreadyExists = (resource: Named, name: string, deleting: boolean): Refusal =>
  new Refusal(
    409,
    'AlreadyExists',
    `${deleting ? 'object is being deleted: ' : ''}${qualified(resource)} "${name}" already exists`,
    detailsOf(resource, name),
  )

export const conflict = (resource: Named, name: string, why: string): Refusal =>
  new Refusal(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`,
    detailsOf(resource, name),
  )

export const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again'

/** 422 about the options of a call. */
export function invalidOption(kind: string, field: string, reason: string, message: string): Refusal {
  return new Refusal(422, 'Invalid', `${kind}.meta.k8s.io "" is invalid: ${field}: ${message}`, {
    group: 'meta.k8s.io',
    kind,
    causes: [{ reason, message, field }],
  })
}

export function forbidden(
  resource: Named,
  verb: string,
  user: string,
  namespace: string | undefined,
  name: string | undefined,
  subresource: string | undefined,
): Refusal {
  const where = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`
  const what = subresource === undefined ? resource.plural : `${resource.plural}/${subresource}`
  const { group, plural } = resource
  const subject = name === undefined ? qualified(resource) : `${qualified(resource)} "${name}"`
  return new Refusal(
    403,
    'Forbidden',
    `${subject} is forbidden: User "${user}" cannot ${verb} resource "${what}" in API group "${group}" ${where}`,
    { ...(name === undefined ? {} : { name }), ...(group === '' ? {} : { group }), kind: plural },
  )
}

export const terminating = (resource: Named, name: string, namespace: string): Refusal =>
  new Refusal(
    403,
    'Forbidden',
    `${qualified(resource)} "${name}" is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`,
    {
      ...detailsOf(resource, name),
      causes: [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    },
  )
