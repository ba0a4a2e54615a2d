/** As much of a shell's grammar as the documentation uses: commands of a block, words of a command. */

/**
 * The commands of a block, one for each line, without comments. A line that ends with a backslash goes on.
 *
 * @throws Error where a quote is not closed
 */
export function commandsOf(block: string): string[] {
  return block
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => withoutComment(line).trim())
    .filter((line) => line !== '')
}

function withoutComment(line: string): string {
  let quote: string | undefined
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!
    if (quote) quote = character === quote ? undefined : quote
    else if (character === '"' || character === "'") quote = character
    else if (character === '#' && (at === 0 || /\s/.test(line[at - 1]!))) return line.slice(0, at)
  }
  if (quote) throw new Error(`A quote is not closed in: ${line}`)
  return line
}

/** The simple commands of a line, each as its words; what is assigned or redirected is left out. */
export function simpleCommandsOf(line: string): string[][] {
  const commands: string[][] = [[]]
  const token = /\s*(?:(&&|\|\||[;|&])|((?:[^\s;|&"']|"[^"]*"|'[^']*')+))/gy
  for (const [, operator, word] of line.matchAll(token)) {
    if (operator) commands.push([])
    else commands.at(-1)!.push(word!.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'))
  }
  return commands
    .map((words) => {
      const end = words.findIndex((word) => /^\d?[<>]/.test(word))
      const kept = end < 0 ? words : words.slice(0, end)
      return kept.slice(kept.findIndex((word) => !/^[A-Z_]+=|^do$/.test(word)))
    })
    .filter(([program]) => program !== undefined && !/^(for|done|export)$/.test(program))
}
