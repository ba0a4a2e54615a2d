/** The form a request gives its answer, as the grammar that the answer is held to. */
import { FacetError } from '../../errors.ts'
import { CALL_ARGUMENTS, CALL_END, CALL_NAME, CALL_SEPARATOR } from '../../gemma/tool-prompt.ts'
import type { ChatRequest, JsonSchema, Tool, ToolChoice } from '../../types.ts'
import { charSet, complement, EVERY_CHAR } from './char-set.ts'
import {
  alternatives,
  type Expression,
  literal,
  optional,
  pruned,
  type Rules,
  reachable,
  repeat,
  sequence,
} from './expression.ts'
import { JSON_RULES } from './json-grammar.ts'
import { readSchema } from './schema.ts'
import { SchemaProblem } from './schema-problem.ts'

export interface Form {
  /** Equal for equal forms. */
  readonly key: string
  /** The grammar, with the rule `root`. */
  rules(): Rules
  /** Of the request, where it comes from. */
  readonly field: string
  /** Whether the answer may be calls of tools. */
  readonly calls: boolean
  /** Whether nothing but the end can follow a closing bracket or quote that may be the last. */
  readonly single: boolean
}

/** Calls in one answer, so that a weak model comes to an end. */
const MOST_CALLS = 16
/**
 * What holds the answer to its form; undefined for free text.
 *
 * `rules` throws FacetError invalid_request with the field, for a schema that cannot be enforced.
 */
export function formOf(request: ChatRequest): Form | undefined {
  const { responseFormat: format, tools = [], toolChoice = 'auto', parallelToolCalls = true } = request
  if (tools.length > 0 && toolChoice !== 'none') {
    const single = typeof toolChoice === 'object' || !parallelToolCalls
    const key = JSON.stringify([tools, toolChoice, single])
    return { key, rules: () => callRules(tools, toolChoice, single), field: 'tools', calls: true, single }
  }
  if (!format || format.type === 'text') return undefined
  const field = 'responseFormat.schema'
  const schema = format.type === 'json_object' ? { type: 'object' } : format.schema
  return {
    key: JSON.stringify(schema),
    rules: () => schemaRules(schema, field),
    field,
    calls: false,
    single: true,
  }
}

function schemaRules(schema: JsonSchema, field: string): Rules {
  const rules = new Map<string, Expression>(JSON_RULES)
  rules.set('root', read(schema, rules, 's', field))
  return checked(rules, field)
}

function callRules(tools: readonly Tool[], choice: ToolChoice, single: boolean): Rules {
  const rules = new Map<string, Expression>(JSON_RULES)
  const offered = tools.flatMap((tool, i) =>
    typeof choice === 'object' && tool.name !== choice.name ? [] : [callOf(tool, i, rules)],
  )
  rules.set('call', alternatives(offered))
  const call: Expression = { type: 'rule', name: 'call' }
  const more = repeat(sequence([literal(CALL_SEPARATOR), call]), 0, MOST_CALLS - 1)
  const calls = single ? call : sequence([call, more])
  rules.set('root', choice === 'auto' ? alternatives([calls, optional(freeText())]) : calls)
  return checked(rules, 'tools')
}

/** Anything that is not the beginning of a call. */
function freeText(): Expression {
  const brace = 0x7b
  return sequence([
    { type: 'chars', set: complement(charSet([brace, brace])) },
    repeat({ type: 'chars', set: EVERY_CHAR }, 0, Number.POSITIVE_INFINITY),
  ])
}

function callOf(
  { name, parameters = NO_PARAMETERS }: Tool,
  index: number,
  rules: Map<string, Expression>,
): Expression {
  const field = `tools[${index}].parameters`
  const object = typeof parameters === 'object' ? { type: 'object', ...parameters } : parameters
  const values = read(object, rules, `t${index}x`, field)
  return sequence([literal(CALL_NAME + name + CALL_ARGUMENTS), values, literal(CALL_END)])
}

const NO_PARAMETERS: JsonSchema = { type: 'object', additionalProperties: false }

function read(schema: unknown, rules: Map<string, Expression>, prefix: string, field: string): Expression {
  try {
    return readSchema(schema, rules, prefix)
  } catch (error) {
    if (!(error instanceof SchemaProblem)) throw error
    throw invalid(field + error.path, error.message)
  }
}

function checked(all: Rules, field: string): Rules {
  const rules = reachable(pruned(all), 'root')
  if (!rules.has('root')) throw invalid(field, 'allows no answer of finite length; loosen it')
  return rules
}

function invalid(field: string, problem: string): FacetError {
  return new FacetError('invalid_request', `${field} ${problem}.`, { field })
}
