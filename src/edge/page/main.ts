/** The playground at `/`: chats through the project's own client and engine. Holds the state and wires the events. */
import type { FacetError, ModelSpec } from '../../index.ts'
import { ask } from './ask.ts'
import { CodeView } from './code-view.ts'
import { Connection } from './connection.ts'
import { Conversation, type Exchange } from './conversation.ts'
import { element } from './dom.ts'
import { watchExport } from './download.ts'
import { Live } from './live.ts'
import { openSheet, watchPanel } from './panel.ts'
import { parametersOf, settingsProblem, systemPrompt, watchParameters } from './parameters.ts'
import { Places } from './places.ts'
import { OwnTotals } from './readings.ts'
import { api, modelFiles, Server } from './server.ts'
import { type Remedy, Turn } from './turn.ts'
import { introduce } from './welcome.ts'

const question = element('question', HTMLTextAreaElement)
const send = element('send', HTMLButtonElement)
const stop = element('stop', HTMLButtonElement)
const newChat = element('new-chat', HTMLButtonElement)
const state = element('state', HTMLElement)
const announcer = element('announcer', HTMLElement)

const conversation = new Conversation()
const turns = new Map<Exchange, Turn>()
const server = new Server()
const connection = new Connection(server, refresh)
const places = new Places(server, refresh)
const totals = new OwnTotals()
const code = new CodeView(() => {
  const local = places.name !== 'server' && { graph: places.name, location: modelFiles.href }
  return {
    baseURL: api.href,
    request: { ...parameters(), messages: messagesOnScreen() },
    keyed: server.keyed,
    ...(local && { local }),
  }
})
const live = new Live(() => (places.name === 'server' ? server.figures() : engineFigures()))

let running: AbortController | undefined
let tokensShown = false
let introduced: ModelSpec | undefined

/** Why nothing can be asked just now; undefined when it can. */
function obstacle(): string | undefined {
  if (places.name === 'server' && connection.message !== undefined) return connection.message
  if (!places.backend) return 'Load the model in the settings to ask it in this page.'
  return settingsProblem()
}

function refresh(): void {
  const busy = running !== undefined
  const problem = obstacle()
  send.hidden = busy
  stop.hidden = !busy
  send.disabled = problem !== undefined || question.value.trim() === ''
  const started = conversation.exchanges.length > 0
  newChat.hidden = !started
  element('export', HTMLElement).hidden = !started
  element('welcome', HTMLElement).hidden = started
  state.hidden = problem === undefined
  if (state.textContent !== problem) state.textContent = problem ?? ''
  question.style.height = 'auto'
  question.style.height = `${question.scrollHeight}px`
  const { model } = connection
  if (model && model !== introduced) {
    introduce(model, submit)
    // Whoever tells its models may tell what it offers.
    if (!introduced) void places.look()
  }
  introduced = model
  void code.update()
}

function parameters(): Exchange['parameters'] {
  const model = places.name === 'server' ? connection.model : undefined
  return { ...(model && { model: model.id }), ...parametersOf() }
}

/** What would be sent now; with nothing to send, what was sent last. */
function messagesOnScreen(): ReturnType<Conversation['messages']> {
  const draft = question.value.trim()
  const last = conversation.exchanges.at(-1)
  if (draft !== '' || !last) return conversation.messages(systemPrompt(), draft || question.placeholder)
  return conversation.messages(systemPrompt(), last.question, conversation.exchanges.length - 1)
}

async function start(content: string): Promise<void> {
  const { backend } = places
  if (!backend) return
  const control = new AbortController()
  const local = places.engine !== undefined
  const exchange: Exchange = {
    question: content,
    parameters: parameters(),
    place: places.label,
    model: (places.engine?.model ?? connection.model)?.id ?? 'model',
    answer: '',
    tokens: [],
    outcome: 'running',
    times: { sentMs: performance.now() },
  }
  const messages = conversation.messages(systemPrompt(), content)
  conversation.exchanges.push(exchange)
  const turn = new Turn(exchange, {
    again: (changed) => again(exchange, changed),
    tokensShown: () => tokensShown,
    showTokens,
  })
  turns.set(exchange, turn)
  running = control
  announcer.textContent = 'Answering.'
  refresh()
  try {
    const onChange = (): void => turn.update()
    const error = await ask(backend, exchange, { messages, signal: control.signal, onChange })
    if (local) totals.add(exchange)
    if (error) turn.offer(remedyFor(error, exchange))
    else announcer.textContent = exchange.answer || 'The model had nothing to say.'
  } finally {
    // A new chat may have begun meanwhile.
    if (running === control) running = undefined
    refresh()
  }
}

/** Forgets an exchange and what follows it, and asks anew. */
function again(exchange: Exchange, changed: string): void {
  if (obstacle() !== undefined) return
  running?.abort()
  const kept = new Set(conversation.exchanges.slice(0, conversation.exchanges.indexOf(exchange)))
  conversation.truncate(exchange)
  for (const [each, turn] of turns) {
    if (kept.has(each)) continue
    turn.remove()
    turns.delete(each)
  }
  question.focus()
  void start(changed)
}

function remedyFor(error: FacetError, exchange: Exchange): Remedy {
  if (error.code === 'context_length_exceeded' && conversation.exchanges.length > 1) {
    const act = (): void => {
      reset()
      question.value = exchange.question
      refresh()
    }
    return { label: 'Start a new chat', act }
  }
  if (error.code === 'unauthorized') return { label: 'Enter a key', act: () => void askForKey() }
  const act = (): void => {
    if (running || obstacle() !== undefined) return
    // What came after it stays.
    conversation.remove(exchange)
    turns.get(exchange)?.remove()
    turns.delete(exchange)
    question.focus()
    void start(exchange.question)
  }
  return { label: 'Try again', act }
}

async function askForKey(): Promise<void> {
  await connection.connect()
  openSheet('show-settings')
}

function showTokens(shown: boolean): void {
  tokensShown = shown
  for (const turn of turns.values()) turn.draw()
}

function engineFigures(): ReturnType<Server['figures']> {
  const { engine, label } = places
  const last = conversation.exchanges.at(-1)
  const said = running && last ? last.tokens.length : 0
  return {
    name: label,
    read: async () =>
      engine
        ? totals.reading((await engine.stats?.()) ?? {}, said, performance.now())
        : 'Load the model in the settings; then its figures are drawn here.',
  }
}

function submit(content: string = question.value.trim()): void {
  if (content === '' || running || obstacle() !== undefined) return
  if (content === question.value.trim()) question.value = ''
  void start(content)
}

function reset(): void {
  running?.abort()
  running = undefined
  conversation.clear()
  for (const turn of turns.values()) turn.remove()
  turns.clear()
  refresh()
  question.focus()
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
  // An open menu is closed by Escape, and nothing else.
  const menuOpen = element('export-menu', HTMLElement).matches(':popover-open')
  if (event.key === 'Escape' && !menuOpen) running?.abort()
})
stop.addEventListener('click', () => {
  running?.abort()
  question.focus()
})
newChat.addEventListener('click', reset)
// Safari lays the keyboard over the page instead of resizing it.
visualViewport?.addEventListener('resize', () => {
  document.body.style.setProperty('--height', `${visualViewport!.height}px`)
})

watchParameters(refresh)
watchExport(conversation)
watchPanel((open) => {
  code.show(open === 'show-code')
  live.show(open === 'show-live')
})
element('api', HTMLElement).textContent = api.href
// On a touch screen the keyboard would cover the page before anything is read.
if (matchMedia('(pointer: fine)').matches) question.focus()
refresh()
void connection.connect()
