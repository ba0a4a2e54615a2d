/** The same suite on Node, Deno and Bun: each serves the shipped model from its own entry. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask } from './ask.ts'
import { ROOT, RUNTIMES } from './runtimes.ts'
import type { Opened } from './server-program.ts'
import { behavesAlike, CHAT, ENDLESS } from './suite.ts'

const PROGRAM = fileURLToPath(new URL('server-program.ts', import.meta.url))

describe.each(RUNTIMES)('Facet on $name', ({ entry, command: [file, ...flags] }) => {
  let server: ChildProcessByStdio<Writable, Readable, null>
  let reading: Interface
  let lines: AsyncIterator<string>
  let opened: Opened

  beforeAll(async () => {
    server = spawn(file, [...flags, PROGRAM, entry], { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
    reading = createInterface({ input: server.stdout })
    lines = reading[Symbol.asyncIterator]()
    opened = JSON.parse((await lines.next()).value)
  })
  afterAll(() => {
    server.kill('SIGKILL')
    reading.close()
  })

  /** A stream of which the first piece has come. */
  const begin = async (url: string): Promise<ReadableStreamDefaultReader<Uint8Array>> => {
    const body = JSON.stringify({ ...ENDLESS, max_tokens: 100 })
    const reader = (await fetch(url + CHAT, { method: 'POST', body })).body!.getReader()
    await reader.read()
    return reader
  }
  const restOf = async (reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> => {
    const decoder = new TextDecoder()
    let text = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return text
      text += decoder.decode(value, { stream: true })
    }
  }
  const order = async (word: string): Promise<void> => {
    server.stdin.write(`${word}\n`)
    expect((await lines.next()).value).toBe(`done: ${word}`)
  }

  behavesAlike(() => (asked) => ask(fetch, opened.url, asked))

  it('says that a port is taken', () => {
    expect(opened.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(opened.taken).toBe('io_failed')
  })

  it('cuts a running answer when its time to close is over', async () => {
    const answer = restOf(await begin(opened.otherUrl)).catch(() => 'cut')
    await order('cut')
    expect(await answer).not.toContain('[DONE]')
    await expect(fetch(opened.otherUrl)).rejects.toThrow()
  })

  it('finishes a running answer before it closes, and takes no new one', async () => {
    const answer = restOf(await begin(opened.url))
    await order('close')
    expect(await answer).toContain('[DONE]')
    await expect(fetch(opened.url)).rejects.toThrow()
  })
})
