/** The engine on the WebGPU of each runtime, over a graphics adapter made of software. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { goldenPrompts } from '../engine/golden.ts'
import type { WebGpuReport } from './webgpu-program.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PROGRAM = fileURLToPath(new URL('webgpu-program.ts', import.meta.url))
const DENO = [
  `${ROOT}node_modules/.bin/deno`,
  'run',
  '--unstable-webgpu',
  '--node-modules-dir=manual',
  '--allow-read',
  '--allow-sys',
  '--allow-env',
] as const

async function reportOf(
  [file, ...flags]: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<WebGpuReport> {
  const { stdout } = await promisify(execFile)(file!, [...flags, PROGRAM], {
    cwd: ROOT,
    env: { ...process.env, ...env },
  })
  return JSON.parse(stdout)
}

describe('WebGPU on Node', () => {
  it("gives transformers' greedy ids from a thread of its own, and ends", { timeout: 300_000 }, async () => {
    // The end of the turn has no text, and so no log-probability.
    const ids = goldenPrompts[0]!.greedy_ids_int4.slice(0, -1)
    expect(await reportOf([process.execPath])).toEqual({ ids })
  })
})

// Not the ids on Deno: with no Vulkan it may take OpenGL in software, and wgpu's OpenGL panics on many machines.
describe.each([
  { name: 'Node', command: [process.execPath] },
  { name: 'Deno', command: DENO },
])('WebGPU on $name', ({ command }) => {
  it('says clearly that there is no adapter', { timeout: 60_000 }, async () => {
    const report = await reportOf(command, {
      VK_ICD_FILENAMES: '/nonexistent.json',
      LD_LIBRARY_PATH: '',
      DENO_WEBGPU_BACKEND: 'vulkan',
    })
    expect(report).toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/no graphics adapter on this machine; use --engine wasm/),
    })
  })
})
