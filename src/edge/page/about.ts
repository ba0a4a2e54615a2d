/** What the page says about the model behind it, and what it suggests to ask. */
import type { ModelSpec } from '../../index.ts'

export interface About {
  readonly heading: string
  readonly description: string
  readonly placeholder: string
  readonly examples: readonly string[]
}

const SAMPLE: About = {
  heading: 'Ask for a command.',
  description:
    "A tiny sample model with Gemma's architecture, trained from scratch for this project on the tldr-pages. It is not one of Google's models, and it knows command-line tools and little else.",
  placeholder: 'How do I …?',
  examples: [
    'How do I find files by name?',
    'How do I extract a tar archive?',
    'How do I search for text in all files?',
    'Who are you?',
  ],
}

const ANY: About = {
  heading: 'What would you like to know?',
  description: 'A language model behind an OpenAI-compatible API.',
  placeholder: 'Ask a question',
  examples: [
    'Explain how a transformer writes text, in three sentences.',
    'Write a haiku about the sea at night.',
  ],
}

export function aboutOf(model: ModelSpec): About {
  const about = model.id.startsWith('facet-tldr') ? SAMPLE : ANY
  return model.description ? { ...about, description: model.description } : about
}

/** One line: the id, and its size where the server tells. */
export function titleOf({ id, parameters, quantization }: ModelSpec): string {
  const size = parameters === undefined ? undefined : toCount(parameters)
  return [id, size, quantization].filter((part) => part !== undefined).join(' · ')
}

/** 24289152 -> "24M", 2506172416 -> "2.5B". */
function toCount(parameters: number): string {
  if (parameters >= 1e9) return `${(parameters / 1e9).toFixed(1).replace(/\.0$/, '')}B`
  return `${Math.max(1, Math.round(parameters / 1e6))}M`
}
