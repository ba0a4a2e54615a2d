/** Engines that take turns on one machine, round after round, so that what disturbs one disturbs all. */
import type { Subject } from './process.ts'
import type { Results } from './results.ts'

/** One engine in one process: what it does each round, in the order the engines take turns. */
export interface Contestant {
  readonly name: string
  readonly subject: Subject
  readonly load: () => Promise<readonly number[]>
  readonly turns: readonly ((round: number) => Promise<void>)[]
  /** What stays null when it fails. */
  readonly metrics: readonly (readonly [metric: string, unit: string])[]
}

export interface RoundsOptions {
  readonly rounds: number
  readonly say: (text: string) => void
  readonly results: Results
  /** Name of the engine without which there is nothing to compare: its failure ends the benchmark. */
  readonly vital: string
}

/** Makes all, loads them, lets them take their turns, and ends their processes. */
export async function takeTurns(
  makers: readonly (() => readonly Contestant[])[],
  { rounds, say, results, vital }: RoundsOptions,
): Promise<void> {
  const all: Contestant[] = []
  const running = new Set<Contestant>()
  const attempt = async (contestant: Contestant, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      if (contestant.name === vital) throw error
      const reason = error instanceof Error ? error.message : String(error)
      say(`${contestant.name} failed: ${reason}`)
      for (const [metric, unit] of contestant.metrics) results.fail(contestant.name, metric, unit, reason)
      running.delete(contestant)
      await contestant.subject.end()
    }
  }
  try {
    for (const make of makers) all.push(...make())
    for (const contestant of all) {
      running.add(contestant)
      say(`starting ${contestant.name}`)
      await attempt(contestant, contestant.load)
    }
    const turns = Math.max(...all.map((each) => each.turns.length))
    for (let round = 0; round < rounds; round++) {
      say(`round ${round + 1} of ${rounds}`)
      for (let turn = 0; turn < turns; turn++) {
        for (const contestant of [...running]) {
          const work = contestant.turns[turn]
          if (!work) continue
          await attempt(contestant, () => work(round))
        }
      }
    }
  } finally {
    await Promise.all(all.map(({ subject }) => subject.end()))
  }
}
