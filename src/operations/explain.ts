import { UnreadableSession } from '../django/session-data.ts'
import { SESSION_ENGINES } from '../django/session-engines.ts'
import { isValidSessionKey } from '../django/session-key.ts'
import type { OpenedSessionEngine } from '../engines/open-engine.ts'
import { NO_EVENTS } from '../session/events.ts'
import { openSiteEngine } from '../site/site-engine.ts'
import { CAUSES, type Fact, type Finding, OUTCOMES, type Outcome, summaryOf } from './explain/causes.ts'
import { readCookieHeader } from './explain/cookie-header.ts'
import { classify, keyHash, type PastedKind } from './explain/pasted-text.ts'
import { readContents } from './explain/session-contents.ts'
import { explainSessionData } from './explain/session-text.ts'
import { readSessionUser } from './explain/session-user.ts'
import { onPlaces } from './explain/stored-places.ts'
import { expiryRulesOf, readStoredSession, textRulesOf } from './explain/stored-session.ts'
import type { Project } from './open-project.ts'
import { siteOptionsOf } from './project-options.ts'

/**
 * What Django and this service make of one session, and why. No text holds a key, or a value of the session but the dotted
 * path of its backend.
 */
export interface Explanation {
  readonly input: PastedKind
  /** The first digits of the SHA-256 of the session key; null without a key. */
  readonly keyHash: string | null
  /** The cause that decides, in one sentence. */
  readonly summary: string
  /** Every cause that was found; the one that decides comes first. */
  readonly findings: readonly Finding[]
  readonly django: Outcome
  readonly here: Outcome
  readonly facts: readonly Fact[]
}

/** Explains lines that a person pasted. */
export interface Explainer {
  /** @throws {CannotStart} when a database fails; {CacheUnavailable}. */
  explain(line: string): Promise<Explanation>
  /** Closes what was opened here; the project stays open. */
  close(): Promise<void>
}

/** Explains sessions of this project. Nothing is written. */
export function createExplainer(project: Project): Explainer {
  const { session } = project.settings
  const keptInCookie = SESSION_ENGINES.get(session.engine)?.keptIn === 'cookie'
  let opened: OpenedSessionEngine | null = null

  /** What this service does with a key, by its own engine. */
  async function loadHere(sessionKey: string): Promise<Outcome> {
    if (!isValidSessionKey(sessionKey)) return 'empty'
    opened ??= openSiteEngine(siteOptionsOf(project), NO_EVENTS).opened
    const { engine } = opened
    return onPlaces(project, async () => {
      try {
        return (await engine.load(sessionKey)) === null ? 'empty' : 'loads'
      } catch (error) {
        if (error instanceof UnreadableSession) return 'unreadable'
        throw error
      }
    })
  }

  async function explainKey(
    sessionKey: string,
    { input, before, facts }: { input: PastedKind; before: readonly Finding[]; facts: readonly Fact[] },
  ): Promise<Explanation> {
    const stored = await readStoredSession(project, sessionKey)
    const contents = stored.data === null ? NO_CONTENTS : await contentsOf(stored.data)
    const findings = [...before, ...stored.findings, ...contents.findings]
    return {
      ...explanation(findings, [...facts, ...stored.facts, ...contents.facts], await loadHere(sessionKey)),
      input,
      keyHash: keyHash(sessionKey),
    }
  }

  async function contentsOf(data: Parameters<typeof readContents>[0]): Promise<typeof NO_CONTENTS> {
    const user = await readSessionUser(data, project)
    const contents = readContents(data, {
      rules: expiryRulesOf(project),
      messages: project.settings.messages,
      now: project.now(),
    })
    return {
      findings: [...user.findings, ...contents.findings],
      facts: [...user.facts, ...contents.facts],
    }
  }

  async function explainCookies(text: string): Promise<Explanation> {
    const names = { cookieName: session.cookie.name, csrfName: project.settings.csrf.cookie.name }
    const { sessionKey, findings, facts, candidates } = readCookieHeader(text, names)
    const input = 'cookies'
    if (sessionKey !== null && sessionKey !== '')
      return explainKey(sessionKey, { input, before: findings, facts })
    if (sessionKey === '' || candidates.size === 0)
      return { ...explanation(findings, facts, 'empty'), input, keyHash: null }
    const other = await sessionAmong(candidates)
    const cause: Finding =
      other === null
        ? { cause: 'cookie-missing' }
        : { cause: 'cookie-other-name', detail: `the cookie ${other} instead of ${session.cookie.name}` }
    return { ...explanation([{ ...cause, django: 'empty' }], facts, 'empty'), input, keyHash: null }
  }

  /** The name of a cookie under whose value there is a session. */
  async function sessionAmong(candidates: ReadonlyMap<string, string>): Promise<string | null> {
    for (const [name, value] of candidates) if ((await loadHere(value)) !== 'empty') return name
    return null
  }

  async function explainData(text: string): Promise<Explanation> {
    const { decoded, findings, facts } = explainSessionData(text, textRulesOf(project))
    const contents = decoded === null ? NO_CONTENTS : await contentsOf(decoded.data)
    return {
      ...explanation(
        [...findings, ...contents.findings],
        [...facts, ...contents.facts],
        decoded === null ? 'unreadable' : 'loads',
      ),
      input: 'session-data',
      keyHash: null,
    }
  }

  return {
    async explain(line) {
      const { kind, text } = classify(line, { cookieName: session.cookie.name, keptInCookie })
      if (kind === 'cookies') return explainCookies(text)
      if (kind === 'session-data') return explainData(text)
      return explainKey(text, { input: 'key', before: [], facts: [] })
    },
    async close() {
      await opened?.close()
    },
  }
}

const NO_CONTENTS: { readonly findings: readonly Finding[]; readonly facts: readonly Fact[] } = {
  findings: [],
  facts: [],
}

/** `loaded`: what this service does with the session, whoever its user is. */
function explanation(
  findings: readonly Finding[],
  facts: readonly Fact[],
  loaded: Outcome,
): Omit<Explanation, 'input' | 'keyHash'> {
  const problems = findings.filter(({ cause }) => CAUSES[cause].isProblem)
  const ordered = [...problems, ...findings.filter((one) => !problems.includes(one))]
  const first = (side: 'django' | 'here') => ordered.find((one) => one[side] !== undefined)?.[side] ?? 'loads'
  const [decisive] = ordered
  return {
    summary: decisive === undefined ? 'The session is good on both sides' : summaryOf(decisive),
    findings: ordered,
    django: first('django'),
    here: loaded === 'loads' ? first('here') : loaded,
    facts,
  }
}

/** Whether a cause was found that is more than a note. */
export function hasProblem({ findings }: Explanation): boolean {
  return findings.some(({ cause }) => CAUSES[cause].isProblem)
}

/** An explanation as the document of `--json` has it. */
export function explanationDocument(explanation: Explanation): object {
  const { input, keyHash: hash, summary, findings, django, here, facts } = explanation
  return {
    input,
    keyHash: hash,
    isGood: !hasProblem(explanation),
    summary,
    causes: findings.map((finding) => ({
      id: finding.cause,
      isProblem: CAUSES[finding.cause].isProblem,
      summary: summaryOf(finding),
      hint: CAUSES[finding.cause].hint,
    })),
    django: { outcome: django, text: OUTCOMES[django] },
    here: { outcome: here, text: OUTCOMES[here] },
    facts: Object.fromEntries(facts),
  }
}
