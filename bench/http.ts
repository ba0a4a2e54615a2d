/** The sample model behind `facet serve`: how long a person waits for the first token, HTTP included. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const MAIN: string = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))

const QUESTIONS = [
  'How do I find files by name?',
  'How do I list the processes that use a port?',
  'How do I show the last lines of a file?',
  'How do I count the words of a text?',
  'How do I unpack an archive?',
  'How do I change the owner of a folder?',
]

export interface WarmServer {
  /** Milliseconds from sending a question to the first piece of its answer. */
  firstToken(): Promise<number>
  end(): Promise<void>
}

/** Serves the sample model on a free port and asks it once. */
export async function startServer(): Promise<WarmServer> {
  const child = spawn(process.execPath, [MAIN, 'serve', '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const found = /at (http:\/\/\S+:\d+)\n/.exec(text)
      if (found) resolve(found[1]!)
    })
    child.once('exit', () => reject(new Error(`facet serve ended: ${said.trim()}`)))
  })
  let asked = 0
  const server: WarmServer = {
    firstToken: () => firstToken(url, QUESTIONS[asked++ % QUESTIONS.length]!),
    end: async () => {
      child.kill()
      await once(child, 'exit')
    },
  }
  await server.firstToken()
  return server
}

async function firstToken(url: string, question: string): Promise<number> {
  const start = performance.now()
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: question }], stream: true, max_tokens: 8 }),
  })
  if (!response.ok || !response.body) throw new Error(`facet serve answered ${response.status}`)
  let text = ''
  let took: number | undefined
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece
    if (/"content":"[^"]/.test(text)) took ??= performance.now() - start
  }
  if (took === undefined) throw new Error('facet serve answered without text')
  return took
}
