import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { inspect, verify } from '../../src/convert/inspect.ts'
import { type SynthOptions, synthesize } from '../../src/convert/synth.ts'
import { openModel } from '../../src/engine/model-file.ts'
import { filesFromDirectory } from '../../src/engine/node.ts'
import { createReference } from '../../src/engine/reference.ts'
import { dequantizedWeights } from '../../src/engine/tensors.ts'
import { facet } from '../cli/facet.ts'
import { temporary } from './checkpoints.ts'

const SAMPLE = fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url))

async function synthesized(options: SynthOptions = {}): Promise<string> {
  const out = join(await temporary(), 'model')
  await synthesize('tiny', out, options)
  return out
}

const dataOf = (dir: string) => readFile(join(dir, 'model.onnx_data'))

describe('synthetic weights', () => {
  it('have the shape and the files of a converted model', async () => {
    const dir = await synthesized()
    const { files, ...found } = await inspect(dir)
    expect(found).toMatchObject({ kind: 'model', id: 'tiny', weights: 'int4', hasTokenizer: false })
    expect(found.parameters).toEqual((await inspect(SAMPLE)).parameters)
    await verify(dir, files!)
  })

  it('are the same bytes for the same seed, and others for another', async () => {
    const [zero, none, one, big] = await Promise.all(
      [{ seed: 0 }, {}, { seed: 1 }, { seed: 2 ** 40 }].map(async (options) =>
        dataOf(await synthesized(options)),
      ),
    )
    expect(zero!.equals(none!)).toBe(true)
    expect(one!.equals(zero!)).toBe(false)
    expect(big!.equals(zero!)).toBe(false)
  })

  it.each(['int4', 'int8'] as const)(
    'keep activations at a sane size in %s',
    async (quant) => {
      const dir = await synthesized({ quant, tokenizer: SAMPLE })
      const model = await openModel(filesFromDirectory(dir))
      const graph = createReference(model.config, dequantizedWeights(model))
      const cache = graph.open(8)
      const [logits] = await graph.step([{ cache, tokens: [2, 17, 4000, 8191, 5], logits: 2 }])
      const mean = logits!.reduce((sum, logit) => sum + logit, 0) / logits!.length
      const size = Math.sqrt(logits!.reduce((sum, logit) => sum + logit ** 2, 0) / logits!.length)
      expect(size).toBeGreaterThan(0.3)
      expect(size).toBeLessThan(3)
      expect(Math.abs(mean)).toBeLessThan(0.1)
      // The two positions saw different tokens.
      const half = logits!.length / 2
      expect(logits!.slice(0, half)).not.toEqual(logits!.slice(half))
    },
    120_000,
  )

  it('come with a tokenizer only of the right size', async () => {
    const out = join(await temporary(), 'model')
    await expect(synthesize('gemma-2b', out, { tokenizer: SAMPLE })).rejects.toThrow(
      `${SAMPLE} has a tokenizer of 8192 tokens, but gemma-2b has 256000; name another directory.`,
    )
    const empty = await temporary()
    await expect(synthesize('tiny', out, { tokenizer: empty })).rejects.toThrow(
      `${empty} has neither tokenizer.json nor tokenizer.model; name another directory.`,
    )
    await expect(synthesize('tiny', out, { seed: 0.5 })).rejects.toThrow(
      'seed must be a whole number, but is 0.5.',
    )
  })

  it('leave nothing behind when they are stopped', async () => {
    const out = join(await temporary(), 'model')
    const stop = new AbortController()
    const writing = synthesize('tiny', out, { signal: stop.signal, onProgress: () => stop.abort() })
    await expect(writing).rejects.toMatchObject({ code: 'aborted' })
    await expect(inspect(out)).rejects.toThrow()
  })
})

describe('facet synth', () => {
  it('makes a model directory and says so', async () => {
    const out = join(await temporary(), 'model')
    const { code, stdout, stderr } = await facet(['synth', 'tiny', out, '--seed', '7', '--quant', 'int8'])
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `Wrote tiny to ${out}: random weights, 3 files and facet.json, 28 MB.\n`,
    })
    expect(stderr).toContain('Writing: 100%, ')
    expect((await inspect(out)).description).toContain('seed 7')
    expect((await facet(['synth', 'tiny', out])).stderr).toMatch(/^facet: [^\n]* already exists; [^\n]*\n$/)
  })

  it('ends with 2 when the command line is wrong', async () => {
    for (const args of [['gemma-9b', 'out'], ['tiny'], ['tiny', 'out', '--seed', 'x']]) {
      const { code, stdout, stderr } = await facet(['synth', ...args])
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(/^facet: [^\n]+\n/)
    }
  })
})
