import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { writeGguf } from '../../bench/gguf.ts'
import { readConfig } from '../../src/convert/checkpoint-files.ts'
import { countParameters } from '../../src/gemma/memory-plan.ts'
import { temporary } from '../convert/checkpoints.ts'

const SAMPLE = fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url))

describe('a GGUF of random weights', () => {
  it('has a tensor for every weight, of the size its type says, and the same bytes each time', async () => {
    const config = await readConfig(SAMPLE)
    const folder = await temporary()
    const [one, two] = [join(folder, 'one.gguf'), join(folder, 'two.gguf')]
    writeGguf(one, config)
    writeGguf(two, config)
    const bytes = await readFile(one)
    expect(bytes.equals(await readFile(two))).toBe(true)
    expect(bytes.toString('latin1', 0, 4)).toBe('GGUF')
    expect(bytes.readUInt32LE(4)).toBe(3)
    // The embedding, the last norm, and nine in each layer.
    expect(Number(bytes.readBigUInt64LE(8))).toBe(2 + 9 * config.layers.length)
    // 4.5 bits a weight, and the header.
    const weights = (countParameters(config).total * 4.5) / 8
    expect(bytes.length).toBeGreaterThan(weights)
    expect(bytes.length).toBeLessThan(weights + 1_000_000)
    expect(bytes.length % 32).toBe(0)
  })
})
