/** A conversation as a file: JSON with everything that is known, Markdown to read. */
import type { Conversation, Exchange } from './conversation.ts'

/** Everything: parameters, usage, times in milliseconds, log-probabilities, and how each answer ended. */
export function toJson({ exchanges }: Conversation, system: string, now: Date): string {
  const whole = {
    exported: now.toISOString(),
    ...(system.trim() !== '' && { system }),
    exchanges: exchanges.map(({ times: { sentMs, firstMs, doneMs }, tokens, ...exchange }) => ({
      ...exchange,
      ...(firstMs !== undefined && { firstTokenMs: firstMs - sentMs }),
      ...(doneMs !== undefined && { totalMs: doneMs - sentMs }),
      ...(tokens.length > 0 && { tokens }),
    })),
  }
  return `${JSON.stringify(whole, null, 2)}\n`
}

const ENDINGS: Readonly<Record<Exchange['outcome'], string>> = {
  running: 'Not finished when this was exported.',
  complete: '',
  cut: 'Cut at the token limit.',
  stopped: 'Stopped by the reader.',
  failed: 'Incomplete: the answer broke off.',
}

/** Questions as quotations, answers as they are: they are Markdown more often than not. */
export function toMarkdown({ exchanges }: Conversation, system: string, now: Date): string {
  const parts = ['# Conversation', `Exported ${now.toISOString()}.`]
  if (system.trim() !== '') parts.push('## System', toQuotation(system))
  for (const { question, answer, outcome, model, place, problem } of exchanges) {
    parts.push('## Question', toQuotation(question), `## Answer of ${model} (${place})`)
    if (answer !== '') parts.push(closed(answer))
    const ending = [ENDINGS[outcome], problem].filter(Boolean).join(' ')
    if (ending !== '') parts.push(`*${ending}*`)
  }
  return `${parts.join('\n\n')}\n`
}

function toQuotation(text: string): string {
  return text
    .split('\n')
    .map((line) => `> ${line}`.trimEnd())
    .join('\n')
}

/** An answer that broke off inside a fence would swallow what follows it. */
function closed(answer: string): string {
  const fences = answer.match(/^```/gm)?.length ?? 0
  return fences % 2 === 0 ? answer : `${answer}\n\`\`\``
}
