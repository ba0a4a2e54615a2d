/** Threads that meet after every phase: they spin for a while, then sleep. One thread passes straight through. */

/** One per model, in shared memory, zero at the start. */
@unmanaged
export class Barrier {
  arrived: i32
  generation: i32
  /** Set when a thread is gone: whoever waits gives up. */
  broken: i32
  sleepers: i32
  /** Sleeps after which a thread that does not come is given up. */
  patience: i32
  /** Looks before a thread sleeps. Many where each thread has a core to itself. */
  spins: i32
}

/** Sleeping is cut short now and then to see whether the barrier was broken. */
const SLEEP_NS: i64 = 20_000_000

// @ts-ignore: decorator
@inline
function changed(at: usize, from: i32, barrier: Barrier): bool {
  return atomic.load<i32>(at) != from || atomic.load<i32>(changetype<usize>(barrier), offsetof<Barrier>('broken')) != 0
}

/** Waits until the i32 at `at` is no longer `from`. False when the barrier is broken. */
export function awaitChange(at: usize, from: i32, barrier: Barrier, patient: bool): bool {
  const self = changetype<usize>(barrier)
  const spins = barrier.spins
  for (let i = 0; i < spins; i++) {
    if (changed(at, from, barrier)) break
  }
  let sleeps = 0
  while (!changed(at, from, barrier)) {
    if (patient && sleeps++ == barrier.patience) atomic.store<i32>(self, 1, offsetof<Barrier>('broken'))
    atomic.add<i32>(self, 1, offsetof<Barrier>('sleepers'))
    atomic.wait<i32>(at, from, SLEEP_NS)
    atomic.sub<i32>(self, 1, offsetof<Barrier>('sleepers'))
  }
  return atomic.load<i32>(self, offsetof<Barrier>('broken')) == 0
}

/** Changes the i32 at `at` by one and wakes those who wait for it. */
export function announce(at: usize, barrier: Barrier): void {
  atomic.add<i32>(at, 1)
  if (atomic.load<i32>(changetype<usize>(barrier), offsetof<Barrier>('sleepers')) > 0) atomic.notify(at, -1)
}

/** Returns when all threads have come here. False when one never will. */
export function meet(barrier: Barrier, threads: i32): bool {
  if (!ASC_FEATURE_THREADS || threads == 1) return true
  const self = changetype<usize>(barrier)
  const generation = self + offsetof<Barrier>('generation')
  const now = atomic.load<i32>(generation)
  if (atomic.add<i32>(self, 1, offsetof<Barrier>('arrived')) + 1 == threads) {
    atomic.store<i32>(self, 0, offsetof<Barrier>('arrived'))
    announce(generation, barrier)
    return atomic.load<i32>(self, offsetof<Barrier>('broken')) == 0
  }
  return awaitChange(generation, now, barrier, true)
}
