/** A real Chromium from npm, with the libraries and fonts a bare machine lacks. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'

/** A graphics adapter made of software: slow, and right. */
export const SOFTWARE_WEBGPU: readonly string[] = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
]

export interface OpenBrowser {
  readonly browser: Browser
  close(): Promise<void>
}

/**
 * Unpacks Chromium into a fresh folder, since it would reuse an older version lying in a shared one.
 * Where the package has none (macOS, Windows, ARM) the installed Chrome is used.
 *
 * @param more arguments of the command line
 */
export async function openBrowser(more: readonly string[] = []): Promise<OpenBrowser> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const browser = await chromium.launch({ channel: 'chrome', args: [...more] })
    return { browser, close: () => browser.close() }
  }
  const folder = mkdtempSync(join(tmpdir(), 'facet-chromium-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  try {
    const executablePath = await unpack(folder)
    const browser = await chromium.launch({
      executablePath,
      // Not the package's own list: it turns off the isolation that pages are tested with.
      args: ['--no-sandbox', ...more],
      env: { ...stringsOf(process.env), ...surroundings(folder) },
    })
    const close = async (): Promise<void> => {
      await browser.close()
      remove()
    }
    return { browser, close }
  } catch (error) {
    remove()
    throw error
  }
}

/** The package unpacks to the temporary folder, wherever that is said to be. */
async function unpack(folder: string): Promise<string> {
  const { default: pack, inflate } = await import('@sparticuz/chromium')
  const bin = join(dirname(createRequire(import.meta.url).resolve('@sparticuz/chromium')), '..', 'bin')
  const outer = process.env.TMPDIR
  process.env.TMPDIR = folder
  try {
    const [path] = await Promise.all([pack.executablePath(), inflate(join(bin, 'al2023.tar.br'))])
    return path
  } finally {
    if (outer === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = outer
  }
}

/**
 * NSS and expat come with the package, built for AWS Lambda; they run on any glibc from 2.34 on. So
 * does a font, for machines that have none: without one a page has no text.
 */
function surroundings(folder: string): Record<string, string> {
  const own = process.env.LD_LIBRARY_PATH
  const fonts = join(folder, 'fonts.conf')
  writeFileSync(
    fonts,
    `<fontconfig><include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<dir>${join(folder, 'fonts')}</dir><cachedir>${join(folder, 'font-cache')}</cachedir></fontconfig>`,
  )
  return {
    LD_LIBRARY_PATH: [join(folder, 'al2023', 'lib'), ...(own ? [own] : [])].join(':'),
    FONTCONFIG_FILE: fonts,
  }
}

function stringsOf(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}
