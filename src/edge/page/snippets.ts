/** A request as code to copy: curl, this project's client, the engine in a page, and OpenAI's client. */
import { type ChatRequest, createClient } from '../../index.ts'
import { toJsonText, toLiteral, toQuoted } from './literal.ts'

export type Language = 'curl' | 'gemfacet' | 'openai'

export interface SnippetOptions {
  /** Ends before `/chat/completions`. */
  readonly baseURL: string
  readonly request: ChatRequest
  /** Whether the server wants a key; it is named, never shown. */
  readonly keyed: boolean
  /** The model computes in the page: with what, and from where it is loaded. */
  readonly local?: { readonly graph: 'wasm' | 'webgpu'; readonly location: string }
}

export async function toSnippet(language: Language, options: SnippetOptions): Promise<string> {
  if (language === 'curl') return toCurl(await toBody(options), options)
  if (language === 'openai') return toOpenAi(await toBody(options), options)
  return toGemfacet(options)
}

/** The body that the client sends, taken from the client itself so that the two cannot differ. */
export async function toBody({
  baseURL,
  request,
}: Pick<SnippetOptions, 'baseURL' | 'request'>): Promise<object> {
  const sent = Promise.withResolvers<object>()
  const client = createClient({
    baseURL,
    fetch: async (_, init) => {
      sent.resolve(JSON.parse(String(init?.body)))
      return new Response(null, { status: 503 })
    },
  })
  const asked = client.chat(request)[Symbol.asyncIterator]().next()
  // The refusal above says nothing; one that came before it says what is wrong with the request.
  asked.catch((error: unknown) => sent.reject(error))
  return sent.promise
}

function toCurl(body: object, { baseURL, keyed }: SnippetOptions): string {
  const key = keyed ? ` \\\n  -H "Authorization: Bearer $FACET_API_KEY"` : ''
  const json = toJsonText(body).replaceAll("'", "'\\''")
  return `curl -N ${baseURL}/chat/completions \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${json}'`
}

function toGemfacet({ baseURL, request, keyed, local }: SnippetOptions): string {
  const [from, made] = local
    ? [
        toImport('{ loadEngine }', 'gemfacet/engine/browser'),
        `const gemma = await loadEngine(${toLiteral(local.location)}, ${toLiteral({ graph: local.graph })})`,
      ]
    : [
        toImport('{ createClient }', 'gemfacet'),
        `const gemma = createClient({ baseURL: ${toLiteral(baseURL)}${keyed ? ', apiKey: process.env.FACET_API_KEY' : ''} })`,
      ]
  const show = local ? 'document.body.append(event.text)' : 'process.stdout.write(event.text)'
  return `${from}

${made}

const request = ${toLiteral(request)}
for await (const event of gemma.chat(request)) {
  if (event.type === 'text') ${show}
}`
}

function toOpenAi(body: object, { baseURL, keyed }: SnippetOptions): string {
  const key = keyed ? 'process.env.FACET_API_KEY' : "'none'"
  return `${toImport('OpenAI', 'openai')}

const openai = new OpenAI({ baseURL: ${toLiteral(baseURL)}, apiKey: ${key} })

const request = ${toLiteral(body)}
for await (const chunk of await openai.chat.completions.create(request)) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? '')
}`
}

function toImport(what: string, from: string): string {
  return `import ${what} from ${toQuoted(from)}`
}
