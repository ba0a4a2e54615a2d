/** ChatGPT's own export: a tree of messages, of which the branch that was last seen is the conversation. */
import { isObject } from '../../check.ts'
import type { Message } from '../../types.ts'
import { Rejection } from './rejection.ts'

type Fields = Readonly<Record<string, unknown>>

/**
 * From the first message to `current_node`; edited questions and other tries at an answer are not on that branch. What
 * the person never saw, calls of tools and their results are left out.
 *
 * @throws Rejection malformed, role, not-text
 */
export function toChatGptMessages({ mapping, current_node: current }: Fields): Message[] {
  if (!isObject(mapping)) throw new Rejection('malformed', 'mapping is no object')
  const branch: Fields[] = []
  const seen = new Set<string>()
  let id: unknown = current ?? lastLeaf(mapping)
  while (typeof id === 'string') {
    const node: unknown = Object.hasOwn(mapping, id) ? mapping[id] : undefined
    if (!isObject(node)) throw new Rejection('malformed', `mapping has no node ${id.slice(0, 40)}`)
    if (seen.has(id)) throw new Rejection('malformed', 'mapping goes round in a circle')
    seen.add(id)
    branch.push(node)
    id = node.parent
  }
  return joined(branch.reverse().flatMap(({ message }) => toMessage(message)))
}

/** Where an old export does not say which branch was last seen. */
function lastLeaf(mapping: Fields): string | undefined {
  return Object.entries(mapping)
    .filter(([, node]) => isObject(node) && (!Array.isArray(node.children) || node.children.length === 0))
    .at(-1)?.[0]
}

/** Kinds of content that are no part of what was said. */
const UNSAID: readonly unknown[] = [
  'thoughts',
  'reasoning_recap',
  'user_editable_context',
  'model_editable_context',
]

function toMessage(message: unknown): Message[] {
  if (!isObject(message)) return []
  const { author, content, metadata, recipient } = message
  const role = isObject(author) ? author.role : undefined
  const hidden = isObject(metadata) && metadata.is_visually_hidden_from_conversation === true
  // To a tool, and not to the person.
  const aside = typeof recipient === 'string' && recipient !== 'all'
  if (role === 'tool' || hidden || aside) return []
  if (isObject(content) && UNSAID.includes(content.content_type)) return []
  const text = textOf(content)
  if (role === 'system') return text.trim() === '' ? [] : [{ role, content: text }]
  if (role === 'user' || role === 'assistant') return [{ role, content: text }]
  throw new Rejection('role', `a message is of ${JSON.stringify(role)?.slice(0, 40) ?? 'nobody'}`)
}

function textOf(content: unknown): string {
  if (!isObject(content)) return ''
  if (content.content_type === 'text' && Array.isArray(content.parts)) {
    return content.parts.filter((part) => typeof part === 'string').join('\n')
  }
  throw new Rejection('not-text', `a message holds ${String(content.content_type).slice(0, 40)}`)
}

/** An answer that went on after a tool is one answer. */
function joined(messages: readonly Message[]): Message[] {
  const together: Message[] = []
  for (const message of messages) {
    const before = together.at(-1)
    if (message.role !== 'assistant' || before?.role !== 'assistant') together.push(message)
    else together[together.length - 1] = { role: 'assistant', content: both(before.content, message.content) }
  }
  return together
}

function both(one: string, other: string): string {
  return [one, other].filter((text) => text.trim() !== '').join('\n\n')
}
