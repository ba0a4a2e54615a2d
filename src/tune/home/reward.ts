/** Whether a reward model fits the model it was tuned from: layers as that one's, and a head of one output on top. */
import { join } from 'node:path'
import { parseJson, readOptional } from '../../convert/checkpoint-files.ts'
import { localSource } from '../../convert/merge.ts'
import { openCheckpoint } from '../../convert/safetensors.ts'
import { FacetError } from '../../errors.ts'
import { readAdapterHeader, readAdapterJson } from '../../gemma/adapter-files.ts'
import { configFrom, type GemmaConfig } from '../../gemma/config.ts'
import { planLora } from '../../gemma/lora.ts'
import { checkLoraBase } from '../../gemma/lora-base.ts'
import { parseLoraConfig } from '../../gemma/lora-config.ts'
import { CONFIG_FILE } from '../../gemma/manifest.ts'
import { SCORES_FILE } from '../preference/scores.ts'
import { baseConfig, type Checked, sameShape } from './check.ts'
import type { Done } from './done.ts'

/** As transformers calls the head of a classifier, and PEFT an adapter's. */
const HEAD = /^(?:base_model\.model\.)?score\.weight$/
/** Gemma 3's text models have one more word. */
const CLASSIFIER = /^(Gemma[23]?)(?:Text)?ForSequenceClassification$/

/** Whether a result is a reward model: those alone have scores. */
export function isReward({ files }: Done): boolean {
  return files.some(({ path }) => path === SCORES_FILE)
}

/**
 * @param dir with the result's files
 * @param base as `checkResult` takes it
 * @throws FacetError invalid_checkpoint, with the tensor or the field; and as `checkResult` does
 */
export async function checkReward(dir: string, done: Done, base?: string): Promise<Checked> {
  const config = await baseConfig(done.base, base)
  return done.kind === 'adapter' ? checkAdapter(dir, done, config) : checkClassifier(dir, done, config)
}

async function checkAdapter(dir: string, done: Done, config: GemmaConfig): Promise<Checked> {
  const source = localSource(dir)
  // The head is saved whole, which adapters that are computed here must not have.
  const settings = parseLoraConfig({ ...object(await readAdapterJson(source)), modules_to_save: null })
  checkLoraBase(settings.base, { id: done.base })
  const { entries } = await readAdapterHeader(source)
  checkHead(entries, config)
  const layers = entries.filter(({ name }) => !HEAD.test(name))
  return { rank: Math.max(...planLora(settings, layers, config).map((pair) => pair.rank)) }
}

async function checkClassifier(dir: string, done: Done, config: GemmaConfig): Promise<Checked> {
  const json = object(await readJson(dir))
  const [name] = Array.isArray(json.architectures) ? json.architectures : []
  const [, family] = CLASSIFIER.exec(String(name)) ?? []
  if (family === undefined) throw wrong('architectures', `${CONFIG_FILE} names no classifier of Gemma's`)
  sameShape(configFrom({ ...json, architectures: [`${family}ForCausalLM`] }), config, done.base)
  const checkpoint = await openCheckpoint(dir)
  try {
    checkHead([...checkpoint.tensors.values()], config)
  } finally {
    await checkpoint[Symbol.asyncDispose]()
  }
  return {}
}

async function readJson(dir: string): Promise<unknown> {
  const bytes = await readOptional(dir, CONFIG_FILE)
  if (bytes) return parseJson(CONFIG_FILE, bytes)
  throw wrong(CONFIG_FILE, `${join(dir, CONFIG_FILE)} is missing`)
}

/** What is none is told by whoever reads its fields. */
function object(json: unknown): Readonly<Record<string, unknown>> {
  return { ...(json as object) }
}

function checkHead(
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
  { hiddenSize }: GemmaConfig,
): void {
  const head = tensors.find(({ name }) => HEAD.test(name))
  if (!head) throw wrong('score.weight', 'score.weight, the head that gives the reward, is missing')
  const [outputs, inputs] = head.shape
  if (head.shape.length === 2 && outputs === 1 && inputs === hiddenSize) return
  throw wrong(head.name, `${head.name} is [${head.shape.join(', ')}], but must be [1, ${hiddenSize}]`)
}

function wrong(field: string, problem: string): FacetError {
  const says = `${problem}; fetch the result of a tuning of kind reward.`
  return new FacetError('invalid_checkpoint', says, { field })
}
