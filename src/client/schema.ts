/** Schemas of any library that follows Standard Schema (zod, valibot, ArkType), and JSON Schema out of them. */
import { FacetError } from '../errors.ts'
import type { JsonSchema } from '../types.ts'

/** What is read of https://standardschema.dev, version 1, with its JSON Schema extension. */
export interface StandardSchema<Output = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: 'draft-2020-12' }) => Record<string, unknown>
    }
  }
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

export interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/**
 * The schema as the model is given it.
 *
 * @param given where the library cannot write JSON Schema (valibot: `toJsonSchema` of its own package)
 * @throws FacetError invalid_request when there is neither
 */
export function toJsonSchema(
  schema: StandardSchema,
  given: JsonSchema | undefined,
  field: string,
): JsonSchema {
  const { vendor, jsonSchema } = schema['~standard']
  const made = given ?? jsonSchema?.input({ target: 'draft-2020-12' })
  if (made !== undefined) return made
  const message = `${field} of ${vendor} does not say its JSON Schema; give it beside as jsonSchema.`
  throw new FacetError('invalid_request', message, { field })
}

export type Parsed<Output> = { readonly value: Output } | { readonly wrong: string }

/** Text as a value of the schema, or what is wrong with it in words a model can act on. */
export async function parseAs<Output>(schema: StandardSchema<Output>, text: string): Promise<Parsed<Output>> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { wrong: 'it is not valid JSON' }
  }
  const result = await schema['~standard'].validate(json)
  return result.issues ? { wrong: result.issues.map(toWords).join('; ') } : { value: result.value }
}

function toWords({ message, path = [] }: SchemaIssue): string {
  const keys = path.map((part) => String(typeof part === 'object' ? part.key : part))
  return keys.length > 0 ? `${keys.join('.')}: ${message}` : message
}
