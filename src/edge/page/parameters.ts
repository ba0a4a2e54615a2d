/** The settings as the reader set them: what they add to a request, and what is wrong with them. */
import type { ChatRequest } from '../../index.ts'
import { chosen, element } from './dom.ts'
import { keepSettings, restoreSettings } from './kept-settings.ts'
import { toJsonText } from './literal.ts'

export type Parameters = Omit<ChatRequest, 'messages' | 'prompt'>

/** Sliders: the input's id, the request's field, and the value that changes nothing and need not be sent. */
const SLIDERS = [
  ['temperature', 'temperature', undefined],
  ['top-p', 'topP', 1],
  ['min-p', 'minP', 0],
  ['repetition-penalty', 'repetitionPenalty', 1],
  ['presence-penalty', 'presencePenalty', 0],
  ['frequency-penalty', 'frequencyPenalty', 0],
] as const satisfies readonly (readonly [string, keyof Parameters, number | undefined])[]

/** Numbers that may be left empty. */
const NUMBERS = [
  ['top-k', 'topK'],
  ['seed', 'seed'],
  ['max-tokens', 'maxTokens'],
] as const satisfies readonly (readonly [string, keyof Parameters])[]

/** Alternatives asked for with every token. */
const ALTERNATIVES = 5

const FIRST_SCHEMA = {
  type: 'object',
  properties: { command: { type: 'string' }, explanation: { type: 'string' } },
  required: ['command', 'explanation'],
  additionalProperties: false,
}

const settings = element('settings', HTMLFormElement)
const schema = element('schema', HTMLTextAreaElement)
const schemaProblem = element('schema-problem', HTMLElement)

const input = (id: string): HTMLInputElement => element(id, HTMLInputElement)

/** What the settings add to a request. A number that cannot be is left out: the field shows what is wrong. */
export function parametersOf(): Parameters {
  const parameters: Record<string, unknown> = {}
  for (const [id, field, neutral] of SLIDERS) {
    const { valueAsNumber: value } = input(id)
    if (value !== neutral) parameters[field] = value
  }
  for (const [id, field] of NUMBERS) {
    const { validity, valueAsNumber: value } = input(id)
    if (validity.valid && !Number.isNaN(value)) parameters[field] = value
  }
  const stop = element('stop-strings', HTMLTextAreaElement)
    .value.split('\n')
    .filter((line) => line !== '')
  if (stop.length) parameters.stop = stop
  if (input('probabilities').checked) parameters.logprobs = ALTERNATIVES
  const format = chosen(settings, 'format')
  if (format === 'json_object') parameters.responseFormat = { type: 'json_object' }
  if (format === 'json_schema') {
    const parsed = parsedSchema()
    if ('schema' in parsed) {
      parameters.responseFormat = { type: 'json_schema', name: 'answer', schema: parsed.schema, strict: true }
    }
  }
  return parameters
}

export function systemPrompt(): string {
  return element('system', HTMLTextAreaElement).value
}

/** Why nothing can be asked with these settings; undefined when it can. */
export function settingsProblem(): string | undefined {
  if (chosen(settings, 'format') === 'json_schema') {
    const parsed = parsedSchema()
    if ('problem' in parsed) return `The schema in the settings is not valid: ${parsed.problem}`
  }
  for (const [id] of NUMBERS) {
    const { validity, labels, validationMessage } = input(id)
    if (!validity.valid) return `${labels?.[0]?.textContent}: ${validationMessage}`
  }
  return undefined
}

type ParsedSchema = { readonly schema: object | boolean } | { readonly problem: string }

function parsedSchema(): ParsedSchema {
  try {
    const parsed: unknown = JSON.parse(schema.value)
    if (typeof parsed === 'boolean') return { schema: parsed }
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { schema: parsed }
    return { problem: 'a JSON Schema is an object, or true or false.' }
  } catch (error) {
    return { problem: `${(error as Error).message}.` }
  }
}

/** Shows what the fields say besides their values: numbers beside sliders, the schema's problem. */
function show(): void {
  for (const [id] of SLIDERS) element(`${id}-value`, HTMLOutputElement).value = input(id).value
  const isSchema = chosen(settings, 'format') === 'json_schema'
  element('schema-field', HTMLElement).hidden = !isSchema
  const parsed = isSchema ? parsedSchema() : undefined
  const problem = parsed && 'problem' in parsed ? `Not valid: ${parsed.problem}` : ''
  if (schemaProblem.textContent !== problem) schemaProblem.textContent = problem
  schema.setAttribute('aria-invalid', String(problem !== ''))
}

/** @param onChange after every change of a setting */
export function watchParameters(onChange: () => void): void {
  schema.defaultValue = toJsonText(FIRST_SCHEMA)
  restoreSettings(settings)
  const changed = (): void => {
    show()
    keepSettings(settings)
    onChange()
  }
  settings.addEventListener('submit', (event) => event.preventDefault())
  settings.addEventListener('input', changed)
  settings.addEventListener('reset', () =>
    // The values are reset after the event, and after its microtasks.
    setTimeout(changed),
  )
  show()
}
