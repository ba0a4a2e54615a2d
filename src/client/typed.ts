/** `gemfacet/typed`: typed answers and tools. No dependency, no `node:`. */
export type { SchemaIssue, SchemaResult, StandardSchema } from './schema.ts'
export { type StructuredAnswer, type StructuredOptions, structured } from './structured.ts'
export {
  type RunnableTool,
  type RunToolsOptions,
  runTools,
  type ToolContext,
  type ToolsAnswer,
  tool,
} from './tools.ts'
