/** Asks one question: scores its choices, or has the model write, and marks what comes. */
import { collect } from '../client/collect.ts'
import type { ScoreOptions } from '../client/score.ts'
import { FacetError } from '../errors.ts'
import type { Backend, CallOptions, Message, Prompt } from '../types.ts'
import type { BenchmarkSample } from './benchmark.ts'
import { letterIn } from './extraction.ts'
import type { Item } from './items.ts'
import type { Evaluation } from './run.ts'
import type { ChoiceQuestion, ChoiceScores, Grader, Scores, TextQuestion } from './task.ts'
import { lettered, letters } from './tasks/parts.ts'

/** How choices are decided: by what the model finds most likely, or by the letter that it writes. */
export type ChoiceMethod = 'log-likelihood' | 'generation'

export interface AskOptions {
  readonly backend: Backend
  readonly method: ChoiceMethod
  /** Prompts are sent as a user's message, for models that are tuned to chat. */
  readonly chat: boolean
  readonly graders: ReadonlyMap<string, Grader>
}

/** What a question's answer adds to its sample. */
type Found = Pick<BenchmarkSample, 'prompt' | 'choices' | 'answer' | 'extracted' | 'answers' | 'scores'>

/** What is kept of one question. */
export async function ask(item: Item, options: AskOptions, evaluation: Evaluation): Promise<BenchmarkSample> {
  const { task, part, question } = item
  const about = {
    task: task.name,
    ...(part !== undefined && { part }),
    ...(item.prefix !== '' && { shots: item.prefix }),
  }
  if (question.kind === 'text')
    return { ...about, ...(await written(item.prefix, question, item, options, evaluation)) }
  const found =
    options.method === 'log-likelihood'
      ? await scored(item.prefix, question, options, evaluation)
      : await chosenInWriting(item.prefix, question, options, evaluation)
  return { ...about, ...found }
}

async function scored(
  prefix: string,
  question: ChoiceQuestion,
  options: AskOptions,
  evaluation: Evaluation,
): Promise<Found> {
  const { prompt, choices, gold } = question
  const delimiter = options.chat ? '' : (question.delimiter ?? ' ')
  // One call for all choices of a prompt, whose keys and values are then computed once.
  const logLikelihoods =
    typeof prompt === 'string'
      ? await likelihoods(
          prefix + prompt,
          choices.map((choice) => delimiter + choice),
          options,
          evaluation,
        )
      : await Promise.all(
          prompt.map(async (own, i) => {
            const [value] = await likelihoods(prefix + own, [delimiter + choices[i]!], options, evaluation)
            return value!
          }),
        )
  const scores = choiceScores(question, logLikelihoods)
  const shown = typeof prompt === 'string' ? prompt : sharedBeginning(prompt)
  return {
    prompt: shown,
    choices: texts(question, shown).map((text, i) => ({
      text,
      logLikelihood: logLikelihoods[i]!,
      gold: gold.includes(i),
    })),
    scores: question.measure?.(scores) ?? plainScores(question, scores),
  }
}

/** The choices for a reader, without what stands before all of them: whole sentences, where each has its own prompt. */
function texts({ prompt, choices }: ChoiceQuestion, before = ''): readonly string[] {
  if (typeof prompt === 'string') return choices
  return choices.map((choice, i) => `${prompt[i]!.slice(before.length)} ${choice}`)
}

/** Up to the last space, so that no word is cut. */
function sharedBeginning([first = '', ...others]: readonly string[]): string {
  let end = 0
  while (end < first.length && others.every((other) => other[end] === first[end])) end++
  return first.slice(0, first.lastIndexOf(' ', end - 1) + 1)
}

/** Summed log-likelihood of each continuation. */
async function likelihoods(
  context: string,
  continuations: readonly string[],
  { backend, chat }: AskOptions,
  { signal, count }: Evaluation,
): Promise<number[]> {
  const score = backend.score?.bind(backend)
  if (!score) throw noLikelihoods(backend)
  // Spaces at the seam go with what follows: tokens begin with theirs.
  const text = context.trimEnd()
  const request = {
    ...toPrompt(text, chat),
    continuations: continuations.map((one) => context.slice(text.length) + one),
  }
  let told = false
  const options: ScoreOptions = {
    signal,
    onUsage(usage) {
      told = true
      count(usage, backend.model)
    },
  }
  const found = await within(request, backend, signal, (fitting) => score(fitting, options))
  if (!told) {
    const seen = (await backend.tokenize?.(toPrompt(text, chat), { signal }))?.length ?? 0
    const promptTokens = found.reduce((sum, tokens) => sum + tokens.length, seen)
    count({ promptTokens, completionTokens: 0 }, backend.model)
  }
  return found.map((tokens) => tokens.reduce((sum, { logprob }) => sum + logprob, 0))
}

/**
 * A prompt that is too long for the model loses its beginning, as in lm-evaluation-harness, where the Backend counts
 * tokens: those of the answer fit after it.
 */
async function within<Request extends Prompt & { readonly maxTokens?: number }, Result>(
  request: Request,
  backend: Backend,
  signal: AbortSignal,
  send: (request: Request) => Promise<Result>,
): Promise<Result> {
  try {
    return await send(request)
  } catch (error) {
    const { tokenize, model } = backend
    const known = error instanceof FacetError && error.code === 'context_length_exceeded'
    if (!known || !tokenize || model.contextTokens === undefined || typeof request.prompt !== 'string')
      throw error
    const ids = await tokenize.call(backend, { prompt: request.prompt }, { signal })
    const room = Math.min(request.maxTokens ?? LONGEST_CHOICE, Math.floor(model.contextTokens / 2))
    const [first = 0] = ids
    // The first token tells the model that a text begins.
    return send({ ...request, prompt: [first, ...ids.slice(1 - (model.contextTokens - room))] })
  }
}

/** Tokens that are left for a choice where a prompt is cut. */
const LONGEST_CHOICE = 256

function noLikelihoods({ name }: Backend): FacetError {
  return new FacetError(
    'unsupported',
    `${name} gives no log-likelihoods of given texts; ask for written answers with --generate.`,
  )
}

function toPrompt(text: string, chat: boolean): Prompt {
  const messages: Message[] = [{ role: 'user', content: text }]
  return chat ? { messages } : { prompt: text }
}

function choiceScores({ choices }: ChoiceQuestion, logLikelihoods: readonly number[]): ChoiceScores {
  const byLength = logLikelihoods.map((value, i) => value / [...choices[i]!].length)
  return { logLikelihoods, chosen: largestOf(logLikelihoods), chosenByLength: largestOf(byLength) }
}

/** The first of the largest. */
const largestOf = (values: readonly number[]): number => values.indexOf(Math.max(...values))

function plainScores({ gold }: ChoiceQuestion, { chosen, chosenByLength }: ChoiceScores): Scores {
  return { acc: gold.includes(chosen) ? 1 : 0, acc_norm: gold.includes(chosenByLength) ? 1 : 0 }
}

const LETTER_TOKENS = 16

/** For servers that score nothing: the choices get letters, and the model writes one. */
async function chosenInWriting(
  prefix: string,
  question: ChoiceQuestion,
  options: AskOptions,
  evaluation: Evaluation,
): Promise<Found> {
  const { prompt, gold } = question
  const choices = texts(question)
  const marks = letters(choices.length)
  const listed = choices.every((choice, i) => choice === marks[i])
  const asked = typeof prompt === 'string' ? prompt : 'Which sentence makes more sense?'
  const content = `${prefix}${asked}${listed ? '' : `\n\n${lettered(choices)}`}\n\nAnswer with one letter, ${marks.join(' or ')}, and nothing else.`
  const text = await answerTo(toPrompt(content, true), [], LETTER_TOKENS, options, evaluation)
  const letter = letterIn(text, marks)
  const chosen = letter === undefined ? -1 : marks.indexOf(letter)
  return {
    prompt: content.slice(prefix.length),
    answer: text,
    extracted: letter ?? null,
    answers: gold.map((one) => marks[one]!),
    scores: { acc: gold.includes(chosen) ? 1 : 0 },
  }
}

async function written(
  prefix: string,
  question: TextQuestion,
  { task }: Item,
  options: AskOptions,
  evaluation: Evaluation,
): Promise<Found> {
  const { prompt, stop, maxTokens, answers } = question
  const asked = toPrompt(prefix + prompt, options.chat)
  const text = await answerTo(asked, stop, maxTokens, options, evaluation)
  const grader = options.graders.get(task.name)
  if (!grader)
    throw new FacetError('internal', `${task.name} has questions that nothing marks; please report this.`)
  const { extracted, scores } = await grader.grade(text, question, evaluation.signal)
  return { prompt, answer: text, extracted: extracted ?? null, answers, scores }
}

/** Most servers take no more stop strings; the others are looked for here. */
const MOST_STOPS = 4

async function answerTo(
  prompt: Prompt,
  stop: readonly string[],
  maxTokens: number,
  { backend }: AskOptions,
  { signal, count }: Evaluation,
): Promise<string> {
  const options: CallOptions = { signal }
  const stops = stop.length > 0 ? { stop: stop.slice(0, MOST_STOPS) } : {}
  const request = { ...prompt, temperature: 0, maxTokens, ...stops }
  const { text, usage } = await within(request, backend, signal, (fitting) =>
    collect(backend.chat(fitting, options)),
  )
  count(usage, backend.model)
  const ends = stop.map((one) => text.indexOf(one)).filter((at) => at >= 0)
  return text.slice(0, Math.min(text.length, ...ends))
}
