/** What every test of pulling needs: a clock that does not wait, a home of its own, and what went wrong. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Clock } from '../../src/client/deadline.ts'
import { FacetError } from '../../src/errors.ts'
import type { PullOptions } from '../../src/pull/pull.ts'
import { fixture, temporary } from '../convert/checkpoints.ts'

/** Silence of a server is not waited for either: it never ends. */
const SILENCE_MS = 60_000

export interface QuickClock extends Clock {
  readonly pauses: number[]
}

export function quickClock(): QuickClock {
  const pauses: number[] = []
  return {
    pauses,
    now: () => 1_800_000_000_000,
    ticks: () => 0,
    after(delayMs, callback) {
      if (delayMs >= SILENCE_MS) return () => undefined
      pauses.push(delayMs)
      const timer = setImmediate(callback)
      return () => clearImmediate(timer)
    },
  }
}

export interface Home {
  readonly dir: string
  readonly env: Record<string, string>
  readonly clock: QuickClock
  readonly options: PullOptions
}

/** A user whose caches and settings lie in a fresh folder. */
export async function home(env: Readonly<Record<string, string>> = {}): Promise<Home> {
  const dir = await temporary()
  const all = { HOME: dir, ...env }
  const clock = quickClock()
  return { dir, env: all, clock, options: { env: all, clock } }
}

export function filesOf(name: string): Record<string, Uint8Array> {
  const dir = fixture(name)
  const names = readdirSync(dir).filter((file) => file !== 'golden.json')
  return Object.fromEntries(names.map((file) => [file, Uint8Array.from(readFileSync(join(dir, file)))]))
}

/** Every file below a folder with its text, links followed. */
export function contents(dir: string): Record<string, string> {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => !entry.isDirectory())
  return Object.fromEntries(
    files
      .map(({ parentPath, name }) => join(parentPath, name))
      .map((path) => [path.slice(dir.length + 1), readFileSync(path, 'latin1')]),
  )
}

export async function refusal(work: Promise<unknown>): Promise<FacetError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(FacetError)
  return error as FacetError
}
