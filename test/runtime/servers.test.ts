/** The same suite on Node, Deno and Bun: each serves the shipped model from its own entry. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask } from './ask.ts'
import { ROOT, RUNTIMES } from './runtimes.ts'
import { behavesAlike } from './suite.ts'

const PROGRAM = fileURLToPath(new URL('server-program.ts', import.meta.url))

describe.each(RUNTIMES)('Facet on $name', ({ entry, command: [file, ...flags] }) => {
  let server: ChildProcessByStdio<Writable, Readable, null>
  let lines: AsyncIterator<string>
  let reading: Interface
  let url = ''
  let taken = ''

  beforeAll(async () => {
    server = spawn(file, [...flags, PROGRAM, entry], { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
    reading = createInterface({ input: server.stdout })
    lines = reading[Symbol.asyncIterator]()
    const { value = '{}' } = await lines.next()
    ;({ url, taken } = JSON.parse(value))
  })
  afterAll(() => {
    server.kill('SIGKILL')
    reading.close()
  })

  behavesAlike(() => (asked) => ask(fetch, url, asked))

  it('says that a port is taken', () => {
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(taken).toBe('io_failed')
  })

  it('closes when it is told to', async () => {
    server.stdin.end()
    expect((await lines.next()).value).toBe('closed')
    await expect(fetch(url)).rejects.toThrow()
  })
})
