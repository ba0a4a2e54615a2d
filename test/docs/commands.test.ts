/** Every command of the documentation has an entry that says how it is run, and no entry is left over. */
import { describe, expect, it } from 'vitest'
import { blocksOf, PAGES } from './pages.ts'
import { commandsOf } from './shell.ts'
import { TABLE } from './table/table.ts'

const commandsIn = (page: string): string[] => blocksOf(page, 'sh').flatMap(({ code }) => commandsOf(code))

describe('the table', () => {
  it('has each page once', () => {
    expect(new Set(TABLE.map(({ page }) => page)).size).toBe(TABLE.length)
  })

  it.each(PAGES)('has an entry for every command of %s, and no other', (page) => {
    const entries = Object.keys(TABLE.find((one) => one.page === page)?.commands ?? {})
    expect(entries.toSorted()).toEqual([...new Set(commandsIn(page))].toSorted())
  })

  it('parses without running only few commands', () => {
    const all = TABLE.flatMap(({ commands }) => Object.values(commands))
    const parsed = all.filter(({ how }) => how === 'parsed')
    expect(parsed.length / all.length).toBeLessThan(0.15)
  })
})
