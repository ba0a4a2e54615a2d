/** Before any test: a graphics adapter made of software, so that WebGPU can be tested on any machine. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

let folder: string | undefined

/**
 * Unpacks SwiftShader from the Chromium package and names it to the processes that tests run in: the dynamic
 * linker reads these variables only when a process starts. Elsewhere than on Linux the machine's own adapter
 * is used.
 */
export async function setup(): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return
  folder = mkdtempSync(join(tmpdir(), 'facet-swiftshader-'))
  const outer = process.env.TMPDIR
  process.env.TMPDIR = folder
  try {
    const { inflate } = await import('@sparticuz/chromium')
    const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium')
    await inflate(join(dirname(entry), '..', 'bin', 'swiftshader.tar.br'))
    await inflate(join(dirname(entry), '..', 'bin', 'swiftshader.tar.br'))
  } finally {
    if (outer === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = outer
  }
  const paths = process.env.LD_LIBRARY_PATH
  process.env.LD_LIBRARY_PATH = [folder, ...(paths ? [paths] : [])].join(':')
  process.env.VK_ICD_FILENAMES = join(folder, 'vk_swiftshader_icd.json')
}

export function teardown(): void {
  if (folder) rmSync(folder, { recursive: true, force: true })
}
