import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { findExecutable } from './executables.ts'
import type { Scope } from './file-scope.ts'

/**
 * Starts headless Chromium, without its own background requests. Tests that show pages are serial: side by side, the pages
 * of a file take minutes on a slow machine. @throws Error when it is not installed.
 */
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

/** Problems that the browser reports: blocked by the CSP, not found, exceptions. A request that a navigation ends is none. */
export function collectComplaints(page: Page): string[] {
  const complaints: string[] = []
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('requestfailed', (request) => {
    const reason = request.failure()?.errorText
    if (reason !== 'net::ERR_ABORTED') complaints.push(`${reason} ${request.url()}`)
  })
  return complaints
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
