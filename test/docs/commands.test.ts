/** Every command of the documentation has an entry that says how it is run, and no entry is left over. */
import { describe, expect, it } from 'vitest'
import { NAMED } from './flags.ts'
import { blocksOf, PAGES, textOf } from './pages.ts'
import { commandOf, commandsByName, mistakesOf, optionsOf } from './parse.ts'
import { commandsOf, simpleCommandsOf } from './shell.ts'
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

/** What stands between single back-ticks on a page. */
const codeIn = (page: string): string[] =>
  [
    ...textOf(page)
      .replaceAll(/^```.*?^```/gms, '')
      .matchAll(/`([^`\n]+)`/g),
  ].map(([, code]) => code!)
const optionsIn = (code: string): string[] =>
  [...code.matchAll(/(?:^|\s)(--[a-z][a-z0-9-]*)/g)].map(([, name]) => name!)

describe.each(PAGES)('the text of %s', (page) => {
  it('names no option that nothing has', async () => {
    const ours = [...(await commandsByName()).values()].flatMap(optionsOf)
    const known = new Set([...ours, ...Object.keys(NAMED)])
    expect(
      codeIn(page)
        .flatMap(optionsIn)
        .filter((name) => !known.has(name)),
    ).toEqual([])
  })

  it('gives no command an option that it does not have', async () => {
    for (const code of codeIn(page)) {
      const [, rest] = /^(?:npx )?facet ((?:[a-z]|--).*)$/.exec(code) ?? []
      if (rest === undefined || rest.startsWith('--')) continue
      const name = await commandOf(rest.split(' '))
      expect(name, code).toBeDefined()
      const options = optionsOf((await commandsByName()).get(name!)!)
      for (const option of optionsIn(code)) expect(options, code).toContain(option)
    }
  })
})

describe('a line of the shell', () => {
  it('is a command without its comment, which a quote may not begin', () => {
    const block = `one --two "#3" # four\n# five\nsix \\\n  seven '# eight'\n\ngo#on\n`
    expect(commandsOf(block)).toEqual(['one --two "#3"', "six seven '# eight'", 'go#on'])
    expect(() => commandsOf('say "hello')).toThrow('A quote is not closed')
  })

  it('is simple commands as words, without redirections and assignments', () => {
    expect(
      simpleCommandsOf(`A=1 go --to="a b" 'c' && two > file | three; for x in *; do four "$x"; done`),
    ).toEqual([['go', '--to=a b', 'c'], ['two'], ['three'], ['four', '$x']])
  })

  it('is only parsed where its options are known', async () => {
    expect(await mistakesOf('npx facet plan gke-gpu --devices 1 && terraform init -upgrade')).toEqual([])
    expect(await mistakesOf('npx facet plan gke-gpu --divices 1')).toEqual([
      "error: unknown option '--divices'\n(Did you mean --devices?)",
    ])
    expect(await mistakesOf('facet fly')).toEqual(['facet has no command fly'])
    expect(await mistakesOf('kubectl apply --serverside -k k8s/base')).toEqual([
      'kubectl apply has no option --serverside',
    ])
    expect(await mistakesOf('unheard-of')).toEqual(['unheard-of does not stand in flags.ts'])
  })
})
