import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import { findExecutable } from './executables.ts'
import type { Scope } from './file-scope.ts'

/** Starts headless Chromium, without its own background requests. @throws Error when it is not installed. */
export async function openBrowser(t: Scope): Promise<Browser> {
  const executablePath = findBrowser()
  if (executablePath === null) throw new Error('No Chromium or Chrome is installed (Debian: chromium)')
  const browser = await chromium.launch({
    executablePath,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  })
  t.teardown(() => browser.close())
  return browser
}

/** Where a test leaves a file for people to look at, such as a screenshot: `test/artefacts/<name>`. */
export function artefact(name: string): string {
  const folder = fileURLToPath(new URL('../artefacts/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  return `${folder}${name}`
}

export function findBrowser(): string | null {
  return findExecutable(
    ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'Google Chrome'],
    ['/Applications/Google Chrome.app/Contents/MacOS'],
  )
}
