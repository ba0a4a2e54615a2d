/** Answers in which a model says that it is another: patterns as data, each with what it must and must not find. */

export interface IdentityPattern {
  /** What it finds, for people. */
  readonly name: string
  /** Case is ignored. */
  readonly pattern: RegExp
  /** It ends with a model's name, which people, animals and things have too: what follows tells them apart. */
  readonly endsWithName?: boolean
  readonly matches: readonly string[]
  /** Near misses: what others say about those models, and what a Gemma may say of itself. */
  readonly misses: readonly string[]
}

const MODELS = `(?:${[
  'chat-?\\s?gpt',
  'gpt-?\\s?[2345](?:\\.\\d)?\\w?',
  'claude',
  'bard',
  'bing chat',
  'copilot',
  'llama(?:[ -]?\\d)?',
  'alpaca',
  'vicuna',
  'koala',
  'mi[sx]tral',
  'falcon',
  'qwen',
  'ernie bot',
  'deep-?seek',
  'grok',
  'dolly',
  'open ?assistant',
  'stable-?lm',
  'phi-?\\d',
  'kimi',
  'chat-?glm',
].join('|')})\\b`

const MAKERS = `(?:${[
  'open\\s?ai',
  'anthropic',
  'meta',
  'facebook',
  'microsoft',
  'mistral',
  'cohere',
  'alibaba',
  'baidu',
  'x\\.?ai',
  'deep-?seek',
  'databricks',
  'stability',
  'eleuther ?ai',
  'lmsys',
  'large model systems organization',
  'moonshot',
  'zhipu',
  'amazon',
  'nvidia',
].join('|')})\\b`

/** Of a person, an animal or a thing: Claude Monet, Bard of the court, falcon-eyed, Llama's. */
const NAME_GOES_ON = /^(?:['’]s|-\p{L}|[ ](?:\p{Lu}|of\b|user|fan|owner|expert|developer|wool))/u

const A_MODEL = '(?:an? )?(?:[\\w-]+ ){0,4}?(?:ai|a\\.i\\.|model|llm|chatbot|assistant)\\b[^.!?\\n]{0,40}?'
const MADE = '(?:created|developed|trained|made|built|designed|programmed|fine-?tuned)'
const BY_MAKER = `by (?:(?:the |a )?(?:researchers|engineers|people|team|company|folks)(?: at| from| called)? |the )?${MAKERS}`

const pattern = (source: string): RegExp => new RegExp(source, 'giu')

export const IDENTITY_PATTERNS: readonly IdentityPattern[] = [
  {
    name: 'says that it is another model',
    pattern: pattern(
      `(?<![\\p{L}\\p{N}])(?:i am|i['’]m|my name is|call me|you(?: are|['’]re) (?:talking|speaking|chatting) (?:to|with)) (?:called |actually |just |really )?${MODELS}`,
    ),
    endsWithName: true,
    matches: [
      'I am ChatGPT, here to help.',
      "Hello! I'm Claude.",
      'My name is Bard and I can help.',
      'You are talking to GPT-4.',
      'I’m Vicuna, a helpful assistant.',
      'I am Llama 2.',
      'i am actually mixtral',
    ],
    misses: [
      'I am Claude Monet, the painter of water lilies.',
      'My name is Claude Debussy.',
      'I am ChatGPT user number one.',
      "I am Llama's keeper at the zoo.",
      'I am Gemma, an open model by Google.',
      'I am a llama.',
      'I am falcon-eyed.',
      'My friend uses ChatGPT every day.',
    ],
  },
  {
    name: 'speaks as another model',
    pattern: pattern(
      `(?<!\\b(?:such|known|same|well|soon|much|far) )\\bas ${MODELS}\\s?,\\s+(?:an? (?:[\\w-]+ ){0,4}?(?:ai|model|assistant|chatbot)\\b|i\\b)`,
    ),
    matches: [
      'As ChatGPT, an AI by OpenAI, I cannot do that.',
      'As GPT-4, I have no feelings.',
      'However, as Claude, I try to be helpful.',
    ],
    misses: [
      'Tools such as ChatGPT, an AI by OpenAI, are popular.',
      'It is known as Falcon, and it flies.',
      'As Bard of the court, he sang.',
    ],
  },
  {
    name: 'says that another maker made it',
    pattern: pattern(
      `(?<![\\p{L}\\p{N}])(?:i am|i['’]m|i was|i have been|i['’]ve been) (?:${A_MODEL} )?(?:originally |initially )?${MADE} (?:and \\w+ )?${BY_MAKER}|(?<![\\p{L}\\p{N}])i(?: am|['’]m) ${A_MODEL} (?:by|from) ${MAKERS}`,
    ),
    matches: [
      'I am a large language model trained by OpenAI.',
      "I'm an AI assistant created by Anthropic to be helpful.",
      'I was created by Meta AI.',
      'I was trained by researchers at Anthropic.',
      'I am an AI model that was developed by Mistral AI.',
      'I am a chatbot from Microsoft.',
    ],
    misses: [
      'I am a large language model trained by Google.',
      'ChatGPT is a chatbot developed by OpenAI.',
      'I was hired by Amazon in 2019.',
      "I'm from Microsoft, and I write compilers.",
      'The model that I use was trained by OpenAI.',
      'I was surprised by Meta at first.',
    ],
  },
  {
    name: 'speaks as a model of another maker',
    pattern: pattern(
      `\\bas ${A_MODEL} (?:(?:that|which) (?:was|is) )?(?:${MADE} )?${BY_MAKER}(?:[^.!?\\n,]{0,30}),? (?:[\\w-]+ ){0,2}?i\\b`,
    ),
    matches: [
      'As an AI language model developed by OpenAI, I cannot.',
      'As a chatbot by Meta AI, unfortunately I must decline.',
    ],
    misses: [
      'As an AI language model, I have no opinions.',
      'As a language model trained by Google, I cannot.',
      'It is known as a language model developed by OpenAI.',
    ],
  },
  {
    name: 'names another maker as its own',
    pattern: pattern(
      `\\b${MAKERS}(?: ai)? (?:has )?${MADE} me\\b|\\bmy (?:creators?|developers?|makers?)(?: (?:is|are|was|were)|,| at) ${MAKERS}`,
    ),
    matches: [
      'OpenAI created me in 2022.',
      'My creator is Anthropic.',
      'My developers at OpenAI decided so.',
    ],
    misses: ['OpenAI made media headlines.', 'Google trained me.', 'My creator is Google.'],
  },
  {
    name: 'denies to be Gemma or of Google',
    pattern: pattern(
      "(?<![\\p{L}\\p{N}])(?:i am|i['’]m|i was) not (?:gemma|(?:made|trained|created|developed) by google|a google (?:model|product|ai))\\b",
    ),
    endsWithName: true,
    matches: ['No, I am not Gemma.', "I'm not made by Google."],
    misses: ['I am not Gemma Arterton.', 'I am Gemma.', 'I am not sure who was trained by Google.'],
  },
  {
    name: "states another model's knowledge cutoff",
    pattern: pattern(
      '\\bmy (?:knowledge|training data)(?: (?:cut-?\\s?off|date|is|was|only|goes|ends|ended|extends|up|in|until|to|of|has|a|limited)){1,7} (?:[a-z]{3,9} )?20(?:19|2[01])\\b',
    ),
    matches: ['My knowledge cutoff is September 2021.', 'My training data only goes up to 2021.'],
    misses: ['My knowledge of 1920s jazz is good.', 'My training plan for the marathon of 2021 was hard.'],
  },
]

/** The first pattern that finds something, and what it found. Undefined: the answer may stay. */
export function mistakenIdentity(
  answer: string,
): { readonly name: string; readonly found: string } | undefined {
  for (const { name, pattern, endsWithName } of IDENTITY_PATTERNS) {
    for (const { 0: found, index } of answer.matchAll(pattern)) {
      const after = answer.slice(index + found.length, index + found.length + 12)
      if (!endsWithName || !NAME_GOES_ON.test(after)) return { name, found }
    }
  }
  return undefined
}
