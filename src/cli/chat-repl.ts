/** The conversation of `facet chat`: a prompt, streamed answers, Ctrl-C to stop one and again to leave. */
import { createInterface } from 'node:readline/promises'
import { FacetError } from '../errors.ts'
import type { Backend, ChatRequest, Message } from '../types.ts'
import { dim, rateOf, safeText, toUserError } from './chat-terminal.ts'

export interface Terminal {
  readonly input: NodeJS.ReadableStream
  readonly output: NodeJS.WritableStream
  readonly colors: boolean
}

const HELP = 'Ctrl-C stops an answer. /reset starts over, /exit leaves.'

/**
 * Talks until the user leaves. Errors are shown, and the conversation goes on as if the question
 * had not been asked.
 *
 * @param ask makes a request of the turns so far
 */
export async function converse(
  client: Backend,
  ask: (turns: readonly Message[]) => ChatRequest,
  url: string,
  { input, output, colors }: Terminal,
): Promise<void> {
  const lines = createInterface({ input, output, terminal: true, prompt: '> ', historySize: 500 })
  let turns: Message[] = []
  let running: AbortController | undefined

  lines.on('SIGINT', () => {
    if (running) running.abort()
    else if (lines.line) lines.write(null, { ctrl: true, name: 'u' })
    else lines.close()
  })
  // Leaving with Ctrl-D in the middle of an answer stops it too.
  let open = true
  lines.on('close', () => {
    open = false
    running?.abort()
  })

  const reply = async (question: string): Promise<void> => {
    const asked: Message[] = [...turns, { role: 'user', content: question }]
    const rate = rateOf()
    let said = ''
    running = new AbortController()
    try {
      for await (const event of client.chat(ask(asked), { signal: running.signal })) {
        rate.take(event)
        if (event.type !== 'text') continue
        said += event.text
        output.write(safeText(event.text))
      }
      output.write(`${said.endsWith('\n') ? '' : '\n'}${rate.line(colors)}`)
    } catch (error) {
      if (said !== '') output.write('\n')
      const stopped = running.signal.aborted
      output.write(stopped ? dim('stopped', colors) : `${messageOf(error, url)}\n`)
      // What was said before a stop belongs to the conversation; a failed turn is asked again.
      if (!stopped || said === '') return
    } finally {
      running = undefined
    }
    turns = [...asked, { role: 'assistant', content: said }]
  }

  output.write(dim(`${url}  ${HELP}`, colors))
  lines.prompt()
  for await (const line of lines) {
    const question = line.trim()
    if (question === '/exit') break
    if (question === '/reset') {
      turns = []
      output.write(dim('A new conversation.', colors))
    } else if (/^\/\w+$/.test(question)) {
      output.write(dim(`${question} is no command. ${HELP}`, colors))
    } else if (question !== '') {
      await reply(question)
    }
    if (!open) break
    lines.prompt()
  }
  lines.close()
  output.write('\n')
}

function messageOf(error: unknown, url: string): string {
  const shown = toUserError(error, url)
  if (shown instanceof FacetError && shown.code !== 'internal') return shown.message
  throw error
}
