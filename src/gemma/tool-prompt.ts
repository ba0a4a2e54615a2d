/** Tools for a model that knows none: how they are described to it, and how it writes a call. */
import type { Message, Tool, ToolCall, ToolChoice } from '../types.ts'

/**
 * A call is one line: {"name": "…", "parameters": {…}}, the form in Google's guide to function calling
 * with Gemma. These are its fixed parts.
 */
export const CALL_NAME = '{"name": "'
export const CALL_ARGUMENTS = '", "parameters": '
export const CALL_END = '}'
export const CALL_SEPARATOR = '\n'

export function toCallText({ name, arguments: text }: Pick<ToolCall, 'name' | 'arguments'>): string {
  return CALL_NAME + name + CALL_ARGUMENTS + text + CALL_END
}

/** What is told to the model before the conversation; '' where it may call nothing. */
export function toolInstructions(
  tools: readonly Tool[] = [],
  choice: ToolChoice = 'auto',
  parallel: boolean = true,
): string {
  if (tools.length === 0 || choice === 'none') return ''
  const offered = typeof choice === 'object' ? tools.filter(({ name }) => name === choice.name) : tools
  const form = `${CALL_NAME}function name${CALL_ARGUMENTS}{"parameter name": value}${CALL_END}`
  const when =
    choice === 'auto'
      ? 'If a function helps to answer, call it. Otherwise answer in plain text.'
      : choice === 'required'
        ? 'Answer by calling a function.'
        : `Answer by calling the function ${choice.name}.`
  const count = parallel && typeof choice === 'string' ? ' Several calls stand on a line each.' : ''
  return [
    'You have access to these functions:',
    ...offered.map(({ name, description, parameters }) => JSON.stringify({ name, description, parameters })),
    '',
    `${when} To call a function, write only this, on one line and without a code block:`,
    `${form}${count}`,
  ].join('\n')
}

/** The results of calls, as the user's turn that follows them. */
export function toResultText(
  results: readonly Extract<Message, { role: 'tool' }>[],
  calls: readonly ToolCall[],
): string {
  return results
    .map(({ toolCallId, content }) => {
      const name = calls.find(({ id }) => id === toolCallId)?.name ?? 'function'
      return `Result of ${name}:\n${content}`
    })
    .join('\n\n')
}
