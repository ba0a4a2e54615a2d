/** Tools and response formats of POST /v1/chat/completions. */
import type { ResponseFormat, Tool, ToolChoice } from '../types.ts'
import {
  about,
  boolean,
  choose,
  closed,
  defined,
  isObject,
  jsonSchema,
  mapped,
  oneOf,
  optional,
  type Schema,
  text,
  textLike,
} from './field.ts'

const name = textLike(/^[\w-]{1,64}$/, '1 to 64 letters, digits, _ or -')

/** Schemas are held to the full, asked for or not. */
const strict = about('Accepted; schemas are always enforced.', optional(boolean))

export const tool: Schema<Tool> = mapped(
  closed({
    type: oneOf(['function'], '"function", since this server knows no other kind of tool'),
    function: closed({ name, description: optional(text), parameters: optional(jsonSchema), strict }),
  }),
  ({ function: { name, ...rest } }) => ({ name, ...defined(rest) }),
)

const CHOICES = ['none', 'auto', 'required'] as const
const chosenWord = oneOf(CHOICES, 'none, auto, required or an object that names a function')
const chosenName: Schema<ToolChoice> = mapped(
  closed({
    type: oneOf(['function'], '"function", since this server knows no other kind of choice'),
    function: closed({ name }),
  }),
  (choice) => ({ name: choice.function.name }),
)

export const toolChoice: Schema<ToolChoice> = choose<ToolChoice>([chosenWord, chosenName], (input) =>
  isObject(input) ? chosenName : chosenWord,
)

const simpleFormat = closed({ type: oneOf(['text', 'json_object'], 'text, json_object or json_schema') })
const schemaFormat: Schema<ResponseFormat> = mapped(
  closed({
    type: oneOf(['json_schema']),
    json_schema: closed({ name, description: optional(text), schema: optional(jsonSchema), strict }),
  }),
  ({ json_schema: { name, schema = true, ...rest } }) => ({
    type: 'json_schema',
    name,
    schema,
    ...defined(rest),
  }),
)

export const responseFormat: Schema<ResponseFormat> = choose<ResponseFormat>(
  [simpleFormat, schemaFormat],
  (input) => (isObject(input) && input.type === 'json_schema' ? schemaFormat : simpleFormat),
)
