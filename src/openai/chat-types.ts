/** `OpenAI.Chat`: the types of chats under the names that the official package gives them. */
export type * as Completions from './types.ts'
export type * from './types.ts'
