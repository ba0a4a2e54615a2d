/** What `npm run bench -- webgpu` prints; what it measures needs a GPU, or minutes on one made of software. */
import { describe, expect, it } from 'vitest'
import type { GpuRatios, Report } from '../../bench/results.ts'
import { toGpuTable } from '../../bench/table.ts'

const REPORT: Report<GpuRatios> = {
  machine: {
    gpu: 'webgpu (SwiftShader Device)',
    cpu: 'a processor',
    cores: 2,
    memoryBytes: 8e9,
    platform: 'linux x64',
    node: 'v24.0.0',
    engines: { webgpu: '0.6.2' },
    loadAverage: 0,
    date: '2026-01-01',
  },
  model: { name: 'tiny', parameters: 1, quantization: 'int4', fileBytes: 2, weightBytes: 1 },
  results: [
    { engine: 'facet', metric: 'decode_512', median: 1.5, min: 1.4, max: 1.6, unit: 'ms/token' },
    { engine: 'facet', metric: 'read_back', median: 512, min: 512, max: 512, unit: 'bytes/step' },
    {
      engine: 'ort-web-webgpu',
      metric: 'decode_512',
      median: null,
      min: null,
      max: null,
      unit: 'ms/token',
      reason: 'it has no adapter',
    },
  ],
  ratios: {
    decode: { ortWebGpu: null, bandwidth: 0.4 },
    prefill: { ortWebGpu: null },
    longContext: 0.95,
    batch16: 10,
  },
}

describe('the table of npm run bench -- webgpu', () => {
  it('names the adapter, the figures, and why one is missing', () => {
    const table = toGpuTable(REPORT)
    expect(table).toMatch(/^tiny, int4, on webgpu \(SwiftShader Device\) and 2 cores of a processor/)
    expect(table).toMatch(/^facet +decode_512 +1\.5 +1\.4 +1\.6 +ms\/token$/m)
    expect(table).toMatch(/^ort-web-webgpu +decode_512 +- +it has no adapter$/m)
    expect(table).toMatch(/^decode, share of the bandwidth limit +0\.4$/m)
    expect(table).toMatch(/^decode against onnxruntime-web's WebGPU +-$/m)
  })
})
