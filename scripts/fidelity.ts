/**
 * Measures what a converted model lost: perplexity and exact match on our kernels, or on onnxruntime-web,
 * against what transformers reported for the same weights.
 *
 *   node scripts/fidelity.ts MODEL_DIR EVAL_JSON GOLDEN_JSON [--engine wasm|ort] [--kv 8|16|32] [--pairs N]
 *     [--against CHECKPOINT]
 *
 * Perplexity: the first 200 documents, ids = bos and the first 511 of the text, exp of the mean negative
 * log-likelihood over all tokens. Exact match: the first 300 pairs, which the reported figures are of, or N;
 * greedy, at most 80 tokens, backticks stripped. With --against the reference also runs the unquantized
 * checkpoint on the golden prompts, and says how far the model is from it. Exits with 1 when a figure is off by
 * more than the limits below.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { collect } from '../src/client/collect.ts'
import { weightsFrom } from '../src/convert/checkpoint-weights.ts'
import { openCheckpoint } from '../src/convert/safetensors.ts'
import { createEngine } from '../src/engine/backend.ts'
import type { Graph } from '../src/engine/graph.ts'
import { type OpenedModel, openWithoutData, withData } from '../src/engine/model-file.ts'
import { filesFromDirectory } from '../src/engine/node.ts'
import { createOrtGraph } from '../src/engine/ort.ts'
import { createReference } from '../src/engine/reference.ts'
import { argmax } from '../src/engine/select.ts'
import { createWasmGraph } from '../src/engine/wasm/graph.ts'
import { spawnNodeThread } from '../src/engine/wasm/threads-node.ts'
import { configFrom } from '../src/gemma/config.ts'
import type { Tokenizer } from '../src/gemma/tokenizer.ts'
import type { Backend } from '../src/types.ts'
import { type Evaluation, eachOf, type Pair, progress, questionOf, SLOTS } from './evaluation.ts'

const DOCUMENTS = 200
const DOCUMENT_TOKENS = 512
const PAIRS = '300'
const ANSWER_TOKENS = 80
/** Of the reported perplexity. */
const PERPLEXITY_LIMIT = 0.005
/** As a fraction of all pairs. */
const EXACT_LIMIT = 0.03
const LOGIT_LIMIT = 1e-3

interface GoldenPrompt {
  readonly prompt: string
  readonly input_ids: readonly number[]
  readonly last_logits_top10: readonly (readonly [id: number, logit: number])[]
  readonly greedy_ids: readonly number[]
  readonly greedy_ids_int4: readonly number[]
}

interface Golden {
  readonly golden: readonly GoldenPrompt[]
  readonly report: Readonly<Record<string, number>>
}

interface Row {
  readonly figure: string
  readonly reported: number
  readonly measured: number
  readonly within: boolean
}

const USAGE =
  'usage: node scripts/fidelity.ts MODEL_DIR EVAL_JSON GOLDEN_JSON [--engine wasm|ort] [--kv 8|16|32] [--pairs N] [--against CHECKPOINT]'

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      against: { type: 'string' },
      engine: { type: 'string', default: 'wasm' },
      kv: { type: 'string' },
      pairs: { type: 'string', default: PAIRS },
    },
  })
  const [directory, evalPath, goldenPath] = positionals
  const { engine } = values
  const kv = values.kv ?? (engine === 'wasm' ? '16' : '32')
  const known = engine === 'wasm' ? kv === '8' || kv === '16' || kv === '32' : engine === 'ort' && kv === '32'
  const pairCount = Number(values.pairs)
  const sound = known && Number.isInteger(pairCount) && pairCount > 0
  if (!directory || !evalPath || !goldenPath || positionals.length > 3 || !sound) {
    process.stderr.write(`${USAGE}\n`)
    return 2
  }
  const evaluation: Evaluation = JSON.parse(readFileSync(evalPath, 'utf8'))
  const { golden, report }: Golden = JSON.parse(readFileSync(goldenPath, 'utf8'))
  const model = await openWithoutData(filesFromDirectory(directory))
  const graph =
    engine === 'wasm'
      ? await wasmGraph(model, Number(kv) as 8 | 16 | 32)
      : await createOrtGraph(await withData(model))
  const bits = model.manifest.quantization?.bits
  const reported = (figure: string): number => report[bits === 4 ? `${figure}_int4` : figure]!
  const good: boolean[] = []

  const equal = await countEqual(graph, golden, bits === 4 ? 'greedy_ids_int4' : 'greedy_ids')
  print(`${graph.name}, ${kv}-bit cache: ${equal} of ${golden.length} prompts give every greedy id`)
  good.push(equal >= golden.length - 1)
  if (values.against) good.push(await compare(graph, golden, values.against))

  const backend = createEngine({
    graph,
    tokenizer: model.tokenizer,
    model: { id: model.manifest.id },
    slots: SLOTS,
  })
  const rows: Row[] = []
  for (const [set, documents, pairs] of [
    ['held', evaluation.heldout_documents, evaluation.heldout_pairs],
    ['train', evaluation.train_documents, evaluation.train_pairs],
  ] as const) {
    const ppl = await perplexity(backend, model.tokenizer, model.config.bosId, documents.slice(0, DOCUMENTS))
    const pplReported = reported(`ppl_${set}`)
    rows.push({
      figure: `perplexity, ${set}`,
      reported: pplReported,
      measured: ppl,
      within: Math.abs(ppl / pplReported - 1) <= PERPLEXITY_LIMIT,
    })
    const exact = await exactMatch(backend, pairs.slice(0, pairCount))
    const exactReported = reported(`${set}_exact`)
    rows.push({
      figure: `exact match, ${set}`,
      reported: exactReported,
      measured: exact,
      within: Math.abs(exact - exactReported) <= EXACT_LIMIT,
    })
  }
  await backend.close()
  printTable(rows)
  return [...good, ...rows.map(({ within }) => within)].every(Boolean) ? 0 : 1
}

function wasmGraph(model: OpenedModel, cacheBits: 8 | 16 | 32): Promise<Graph> {
  const { contextTokens } = model.config
  return createWasmGraph({ model, sequences: SLOTS, contextTokens, spawn: spawnNodeThread, cacheBits })
}

async function perplexity(
  backend: Backend,
  tokenizer: Tokenizer,
  bosId: number,
  documents: readonly string[],
): Promise<number> {
  let loss = 0
  let tokens = 0
  await eachOf(documents, async (document) => {
    const ids = tokenizer.encode(document).slice(0, DOCUMENT_TOKENS - 1)
    const [scores] = await backend.score!({ prompt: [bosId], continuations: [ids] })
    for (const { logprob } of scores!) loss -= logprob
    tokens += ids.length
  })
  return Math.exp(loss / tokens)
}

async function exactMatch(backend: Backend, pairs: readonly Pair[]): Promise<number> {
  let exact = 0
  await eachOf(pairs, async (pair) => {
    const [, , command] = pair
    if ((await answerTo(backend, questionOf(pair))) === command) exact++
  })
  return exact / pairs.length
}

async function answerTo(backend: Backend, content: string): Promise<string> {
  const request = { messages: [{ role: 'user', content }], temperature: 0, maxTokens: ANSWER_TOKENS } as const
  const { text } = await collect(backend.chat(request))
  return text.trim().replace(/^`+|`+$/g, '')
}

/** On how many prompts a graph gives every greedy id. */
async function countEqual(
  graph: Graph,
  golden: readonly GoldenPrompt[],
  field: 'greedy_ids' | 'greedy_ids_int4',
): Promise<number> {
  let equal = 0
  for (const [i, { input_ids, [field]: expected }] of golden.entries()) {
    const cache = graph.open(input_ids.length + expected.length)
    const ids: number[] = []
    for (let tokens = input_ids; ids.length < expected.length; tokens = ids.slice(-1)) {
      const [logits] = await graph.step([{ cache, tokens }])
      ids.push(argmax(logits!))
    }
    cache.dispose()
    if (ids.join() === expected.join()) equal++
    progress(i, golden.length)
  }
  return equal
}

/** The unquantized checkpoint in plain TypeScript: does it agree with transformers, and how far is the model? */
async function compare(model: Graph, golden: readonly GoldenPrompt[], directory: string): Promise<boolean> {
  const json = (file: string): unknown => JSON.parse(readFileSync(join(directory, file), 'utf8'))
  const config = configFrom(json('config.json'))
  const checkpoint = await openCheckpoint(directory)
  const reference = createReference(config, await weightsFrom(checkpoint, config))
  await checkpoint.close()
  let worst = 0
  let divergence = 0
  for (const { input_ids, last_logits_top10 } of golden) {
    const plain = await lastLogits(reference, input_ids)
    for (const [id, logit] of last_logits_top10) worst = Math.max(worst, Math.abs(plain[id]! - logit))
    divergence += klDivergence(plain, await lastLogits(model, input_ids)) / golden.length
  }
  const equal = await countEqual(reference, golden, 'greedy_ids')
  print(`reference on the checkpoint: top-10 logits within ${worst.toExponential(1)} of transformers`)
  print(`reference on the checkpoint: ${equal} of ${golden.length} prompts give every greedy id`)
  print(`KL divergence of ${model.name} from the checkpoint, next token: ${divergence.toFixed(4)} nats`)
  return worst < LOGIT_LIMIT && equal === golden.length
}

async function lastLogits(graph: Graph, tokens: readonly number[]): Promise<Float32Array> {
  const cache = graph.open(tokens.length)
  const [logits] = await graph.step([{ cache, tokens }])
  cache.dispose()
  return logits!
}

/** sum p log(p / q), in nats. */
function klDivergence(p: Float32Array, q: Float32Array): number {
  const [logP, logQ] = [logSoftmax(p), logSoftmax(q)]
  return logP.reduce((sum, value, id) => sum + Math.exp(value) * (value - logQ[id]!), 0)
}

function logSoftmax(logits: Float32Array): Float64Array {
  const max = logits[argmax(logits)]!
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0)
  return Float64Array.from(logits, (logit) => logit - max - Math.log(total))
}

function printTable(rows: readonly Row[]): void {
  print(`${'figure'.padEnd(20)}${'reported'.padStart(10)}${'measured'.padStart(10)}  within the limit`)
  for (const { figure, reported, measured, within } of rows) {
    const numbers = [reported, measured].map((value) => value.toFixed(4).padStart(10)).join('')
    print(`${figure.padEnd(20)}${numbers}  ${within ? 'yes' : 'NO'}`)
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

process.exitCode = await main()
