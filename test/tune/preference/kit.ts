/** Judged pairs for tests: made by hand, as files, and as folders of side-by-side runs. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RunFolder } from '../../../src/eval/run-folder.ts'
import type { RunSettings } from '../../../src/eval/summary.ts'
import { MEASURES } from '../../../src/eval/sxs/figures.ts'
import type { Pair } from '../../../src/eval/sxs/pair.ts'
import type { Winner } from '../../../src/eval/sxs/preference.ts'
import type { Judged } from '../../../src/tune/preference/judged.ts'

const made: string[] = []

export async function freshFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'facet-preferences-'))
  made.push(path)
  return path
}

export async function removeFolders(): Promise<void> {
  await Promise.all(made.splice(0).map((path) => rm(path, { recursive: true, force: true })))
}

export async function fileOf(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(await freshFolder(), name)
  await writeFile(path, content)
  return path
}

export function judged(more: Partial<Judged> & { readonly prompt?: never; readonly ask?: string }): Judged {
  const { ask = 'Why is the sky blue?', ...rest } = more
  return {
    place: 'pairs.jsonl, line 1',
    prompt: [{ role: 'user', content: ask }],
    a: 'Because of Rayleigh scattering.',
    b: 'No idea.',
    winner: 'a',
    verdicts: [],
    ...rest,
  }
}

/** A finished run, in which the judge says of each prompt who wins. */
export async function sxsRun(a: string, b: string, winners: readonly (Winner | null)[]): Promise<string> {
  const path = join(await freshFolder(), 'run')
  const settings: RunSettings = {
    kind: 'side-by-side',
    tasks: [
      {
        name: 'mine',
        title: 'mine',
        samples: winners.length,
        of: winners.length,
        data: [],
        measures: MEASURES,
      },
    ],
    models: {
      a: { id: a, backend: 'here' },
      b: { id: b, backend: 'here' },
      judge: { id: 'judge', backend: 'here' },
    },
    seed: 1,
  }
  const folder = await RunFolder.open(path, settings)
  for (const [at, winner] of winners.entries()) {
    const pair: Pair = {
      id: `mine-${at + 1}`,
      task: 'mine',
      category: 'general',
      prompt: `Question ${at + 1}?`,
      a: `What ${a} answers to ${at + 1}.`,
      b: `What ${b} answers to ${at + 1}.`,
      judgements: (['a', 'b'] as const).map((first) => ({ first, winner, reasoning: 'So.' })),
      spent: { promptTokens: 0, completionTokens: 0, cost: 0 },
    }
    await folder.append(pair)
  }
  await folder.close()
  return path
}
