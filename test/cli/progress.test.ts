import { describe, expect, it } from 'vitest'
import { Progress } from '../../src/cli/progress.ts'

function drawn(isTTY: boolean, columns = 120) {
  const written: string[] = []
  const clock = { ms: 0 }
  const stream = { isTTY, columns, write: (text: string) => written.push(text) }
  return { written, clock, progress: new Progress('Converting', stream, () => clock.ms) }
}

describe('progress on a terminal', () => {
  it('redraws a bar with amount, rate and time left', () => {
    const { written, clock, progress } = drawn(true)
    clock.ms = 2000
    progress.update(500_000_000, 2_000_000_000)
    expect(written).toEqual([
      '\r\x1b[KConverting [######..................] 25%  500 MB of 2 GB  250 MB/s  6 s left',
    ])
    progress.end()
    expect(written.at(-1)).toBe('\r\x1b[K')
  })

  it('tells minutes and hours', () => {
    const { written, clock, progress } = drawn(true)
    clock.ms = 1000
    progress.update(1, 3724)
    clock.ms = 2000
    progress.update(10, 500)
    expect(written[0]).toContain('1:02:03 left')
    expect(written[1]).toContain('1:38 left')
  })

  it('is not redrawn faster than an eye can follow, but always at the end', () => {
    const { written, clock, progress } = drawn(true)
    for (clock.ms = 0; clock.ms < 1000; clock.ms += 10) progress.update(clock.ms, 1000)
    progress.update(1000, 1000)
    expect(written).toHaveLength(11)
    expect(written.at(-1)).toContain('100%')
  })

  it('never wraps', () => {
    const { written, clock, progress } = drawn(true, 20)
    clock.ms = 1
    progress.update(1, 2)
    expect(written[0]!.replace('\r\x1b[K', '')).toHaveLength(19)
  })
})

describe('progress elsewhere', () => {
  it('is four lines', () => {
    const { written, progress } = drawn(false)
    for (let done = 0; done <= 1000; done++) progress.update(done, 1000)
    progress.end()
    expect(written).toEqual([
      'Converting: 25%, 250 B of 1 kB\n',
      'Converting: 50%, 500 B of 1 kB\n',
      'Converting: 75%, 750 B of 1 kB\n',
      'Converting: 100%, 1 kB of 1 kB\n',
    ])
  })

  it('is one line when all is done at once, or nothing was to do', () => {
    for (const total of [5, 0]) {
      const { written, progress } = drawn(false)
      progress.update(total, total)
      expect(written).toEqual([`Converting: 100%, ${total} B of ${total} B\n`])
    }
  })
})
