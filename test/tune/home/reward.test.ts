import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkResult } from '../../../src/tune/home/check.ts'
import { parseDone } from '../../../src/tune/home/done.ts'
import { checkReward, isReward } from '../../../src/tune/home/reward.ts'
import { safetensorsOf, temporary } from '../../convert/checkpoints.ts'
import { JSON_ADAPTER } from '../../engine/adapter-fixtures.ts'
import { MODEL_DIRECTORY } from '../../engine/golden.ts'
import { refusal } from '../../pull/pulling.ts'
import { doneOf, rewardAdapter } from './results.ts'

const FILES = { 'scores.jsonl': '' }
const ADAPTER = parseDone(doneOf(FILES, { base: 'facet-tldr-24m' }))
const CHECKPOINT = { ...ADAPTER, kind: 'checkpoint', method: 'full' } as const

/** A classifier of the sample model's shape: its head alone, which is what is looked at. */
async function classifier(
  more: Readonly<Record<string, unknown>> = {},
  head = 'score.weight',
): Promise<string> {
  const dir = await temporary()
  const config = JSON.parse(await readFile(join(MODEL_DIRECTORY, 'config.json'), 'utf8'))
  const json = { ...config, architectures: ['GemmaForSequenceClassification'], ...more }
  const shape = [1, config.hidden_size]
  await writeFile(join(dir, 'config.json'), JSON.stringify(json))
  const bytes = new Uint8Array(4 * config.hidden_size)
  await writeFile(join(dir, 'model.safetensors'), safetensorsOf({ [head]: { dtype: 'F32', shape, bytes } }))
  return dir
}

describe('a reward model', () => {
  it('is known by its scores', () => {
    expect(isReward(ADAPTER)).toBe(true)
    expect(isReward(parseDone(doneOf({ 'adapter_config.json': '{}' })))).toBe(false)
  })

  it('fits its base as an adapter with a head, which is none that chats', async () => {
    const dir = await rewardAdapter()
    expect(await checkReward(dir, ADAPTER, MODEL_DIRECTORY)).toEqual({ rank: 4 })
    expect((await refusal(checkResult(dir, ADAPTER, MODEL_DIRECTORY))).message).toMatch(/modules_to_save/)
  })

  it('fits its base as a whole classifier', async () => {
    expect(await checkReward(await classifier(), CHECKPOINT, MODEL_DIRECTORY)).toEqual({})
  })

  it.each([
    [
      'an adapter without a head',
      () => JSON_ADAPTER,
      ADAPTER,
      /^score\.weight, the head .* is missing; fetch/,
    ],
    [
      'a head of two outputs',
      () => rewardAdapter([2, 384]),
      ADAPTER,
      /score\.weight is \[2, 384\], but must be \[1, /,
    ],
    [
      'another head',
      () => classifier({}, 'lm_head.weight'),
      CHECKPOINT,
      /^score\.weight, the head .* is missing/,
    ],
    [
      'a model that chats',
      () => classifier({ architectures: ['GemmaForCausalLM'] }),
      CHECKPOINT,
      /^config\.json names no classifier of Gemma's; fetch the result of a tuning of kind reward\.$/,
    ],
    [
      'another shape',
      () => classifier({ vocab_size: 8 }),
      CHECKPOINT,
      /vocabSize is 8, but that of facet-tldr-24m/,
    ],
    ['no configuration', () => temporary(), CHECKPOINT, /config\.json is missing; fetch/],
  ] as const)('is refused as %s', async (_, dir, done, sentence) => {
    expect((await refusal(checkReward(await dir(), done, MODEL_DIRECTORY))).message).toMatch(sentence)
  })
})
