/** The page at `/`: a chat through the project's own client. Holds the state and wires the events. */
import { createClient, FacetError, type Message, type Usage } from '../../index.ts'
import { aboutOf, titleOf } from './about.ts'
import { element } from './dom.ts'
import { factsOf } from './facts.ts'
import { type Remedy, Turn } from './transcript.ts'

const base = new URL('.', location.origin + location.pathname)
const api = new URL('v1', base)
const client = createClient({ baseURL: api.href, name: 'The server' })

const question = element('question', HTMLTextAreaElement)
const send = element('send', HTMLButtonElement)
const stop = element('stop', HTMLButtonElement)
const newChat = element('new-chat', HTMLButtonElement)
const state = element('state', HTMLElement)
const temperature = element('temperature', HTMLInputElement)
const maxTokens = element('max-tokens', HTMLInputElement)
const announcer = element('announcer', HTMLElement)

/** How often a server that is not ready is asked again. */
const POLL_MS = 1500

let history: Message[] = []
let started = false
let ready = false
let running: AbortController | undefined

function refresh(): void {
  const busy = running !== undefined
  send.hidden = busy
  stop.hidden = !busy
  send.disabled = !ready || question.value.trim() === ''
  newChat.hidden = !started
  element('welcome', HTMLElement).hidden = started
  question.style.height = 'auto'
  question.style.height = `${question.scrollHeight}px`
}

async function ask(content: string): Promise<void> {
  const control = new AbortController()
  const asked: Message[] = [...history, { role: 'user', content }]
  const turn = new Turn(content)
  running = control
  started = true
  refresh()
  announcer.textContent = 'Answering.'
  const sentMs = performance.now()
  let firstMs: number | undefined
  let said = ''
  let usage: Usage | undefined
  const close = (ending: string): void => {
    const doneMs = performance.now()
    turn.finish(factsOf({ sentMs, firstMs, doneMs, tokens: usage?.completionTokens ?? 0, ending }))
    // A stopped answer belongs to the conversation as far as it came.
    if (running === control && said !== '') history = [...asked, { role: 'assistant', content: said }]
    announcer.textContent = said || ending
  }
  try {
    let ending = ''
    const onUsage = (spent: Usage): void => {
      usage = spent
    }
    const request = { messages: asked, ...settings() }
    for await (const event of client.chat(request, { signal: control.signal, onUsage })) {
      if (event.type === 'text') {
        firstMs ??= performance.now()
        said += event.text
        turn.say(said)
      }
      if (event.type === 'finish' && event.reason === 'length') ending = 'cut at the token limit'
    }
    close(said === '' ? 'The model had nothing to say.' : ending)
  } catch (error) {
    if (control.signal.aborted) close('stopped')
    else turn.fail(messageOf(error), remedyFor(error, content, turn))
  }
  // A new chat may have begun meanwhile.
  if (running === control) running = undefined
  refresh()
}

function settings(): { temperature: number; maxTokens?: number } {
  const limit = maxTokens.validity.valid ? maxTokens.valueAsNumber : Number.NaN
  return { temperature: temperature.valueAsNumber, ...(!Number.isNaN(limit) && { maxTokens: limit }) }
}

function messageOf(error: unknown): string {
  if (!(error instanceof FacetError)) throw error
  const wait =
    error.retryAfterMs === undefined ? '' : ` Try again in ${Math.ceil(error.retryAfterMs / 1000)} s.`
  return error.message + wait
}

function remedyFor(error: unknown, content: string, turn: Turn): Remedy {
  if (error instanceof FacetError && error.code === 'context_length_exceeded' && history.length) {
    const act = (): void => {
      reset()
      question.value = content
      refresh()
    }
    return { label: 'Start a new chat', act }
  }
  const again = (): void => {
    if (running) return
    turn.remove()
    void ask(content)
  }
  return { label: 'Try again', act: again }
}

function submit(): void {
  const content = question.value.trim()
  if (content === '' || running || !ready) return
  question.value = ''
  void ask(content)
}

function reset(): void {
  running?.abort()
  running = undefined
  history = []
  started = false
  element('turns', HTMLOListElement).replaceChildren()
  refresh()
  question.focus()
}

/** Waits until the server has a model that is ready, and says meanwhile what it waits for. */
async function connect(): Promise<void> {
  const shown = await waiting()
  state.hidden = shown === undefined
  state.textContent = shown ?? ''
  ready = shown === undefined
  refresh()
  if (!ready) setTimeout(connect, POLL_MS)
}

async function waiting(): Promise<string | undefined> {
  try {
    const [model] = await client.models({ timeouts: { totalMs: 10_000 } })
    if (!model) return 'The server has no model to ask yet.'
    introduce(model)
    const answer = await fetch(new URL('readyz', base))
    if (answer.status !== 503) return undefined
    const { error, progress } = await answer.json()
    const share = typeof progress === 'number' ? ` (${Math.round(progress * 100)}%)` : ''
    return `${error.message}${share}`
  } catch {
    // Whatever it is, the remedy is the same: the server has to come up.
    return 'The server does not answer; trying again …'
  }
}

function introduce(model: Parameters<typeof aboutOf>[0]): void {
  const about = aboutOf(model)
  const title = element('model', HTMLElement)
  title.textContent = titleOf(model)
  title.title = about.description
  element('heading', HTMLElement).textContent = about.heading
  element('about', HTMLElement).textContent = about.description
  question.placeholder = about.placeholder
  element('examples', HTMLUListElement).replaceChildren(
    ...about.examples.map((example) => {
      const item = document.createElement('li')
      const button = document.createElement('button')
      button.type = 'button'
      button.textContent = example
      button.addEventListener('click', () => {
        if (ready && !running) void ask(example)
      })
      item.append(button)
      return item
    }),
  )
}

element('composer', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  submit()
})
question.addEventListener('input', refresh)
question.addEventListener('keydown', (event) => {
  // While an input method composes a word, Enter belongs to it.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  submit()
})
document.addEventListener('keydown', (event) => {
  // With the settings open, Escape closes them.
  const settingsOpen = element('settings', HTMLFormElement).matches(':popover-open')
  if (event.key === 'Escape' && !settingsOpen) running?.abort()
})
stop.addEventListener('click', () => {
  running?.abort()
  question.focus()
})
newChat.addEventListener('click', reset)
element('settings', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault())
temperature.addEventListener('input', () => {
  element('temperature-value', HTMLOutputElement).value = temperature.value
})
// Safari lays the keyboard over the page instead of resizing it.
visualViewport?.addEventListener('resize', () => {
  document.body.style.setProperty('--height', `${visualViewport!.height}px`)
})

element('api', HTMLElement).textContent = api.href
// On a touch screen the keyboard would cover the page before anything is read.
if (matchMedia('(pointer: fine)').matches) question.focus()
refresh()
void connect()
