/** The threads beside this one: started once, told apart from dead ones, ended. */
import { FacetError } from '../../errors.ts'
import type { Layout } from './layout.ts'
import type { LinearMemory } from './memory.ts'

/** What a thread is started with. */
export interface ThreadStart {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  readonly model: number
  readonly job: number
  /** 1 for the first thread beside the one that commands. */
  readonly thread: number
}

export interface Thread {
  /** Resolves when the thread is about to obey; rejects when it could not be started. */
  readonly ready: Promise<void>
  /** Resolves when the thread is gone, for whatever reason. */
  readonly exited: Promise<void>
  end(): Promise<void>
}

/** Starts a thread that runs `obey` of thread.ts. */
export type ThreadSpawner = (start: ThreadStart) => Thread

export interface Threads {
  /** @throws FacetError internal once a thread is gone */
  check(): void
  /** Counts a thread as gone. */
  lose(): void
  end(): Promise<void>
}

export interface ThreadsPlan {
  readonly count: number
  readonly spawn: ThreadSpawner | undefined
  readonly module: WebAssembly.Module
  readonly memory: LinearMemory
  readonly layout: Layout
}

/** @throws FacetError internal when a thread could not be started */
export async function startThreads({ count, spawn, module, memory, layout }: ThreadsPlan): Promise<Threads> {
  let lost = false
  let ending = false
  const threads = Array.from({ length: spawn ? count : 0 }, (_, i) =>
    spawn!({ module, memory: memory.memory, model: layout.model, job: layout.job, thread: i + 1 }),
  )
  for (const { exited } of threads) {
    void exited.then(() => {
      lost ||= !ending
    })
  }
  const all: Threads = {
    check: () => {
      if (!lost) return
      const message = 'A thread that computes has died; load the model again.'
      throw new FacetError('internal', message, { retry: 'elsewhere' })
    },
    lose: () => {
      lost = true
    },
    end: async () => {
      ending = true
      await Promise.all(threads.map((thread) => thread.end()))
    },
  }
  try {
    await Promise.all(threads.map(({ ready }) => ready))
  } catch (cause) {
    await all.end()
    throw new FacetError(
      'internal',
      `A thread that computes could not be started: ${(cause as Error).message}`,
      { cause },
    )
  }
  return all
}
