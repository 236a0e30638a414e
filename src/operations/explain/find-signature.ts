import {
  BadPayload,
  BadSignature,
  constantTimeCompare,
  createSigner,
  decodeBase64,
  saltedHmac,
} from '../../django/signing.ts'
import type { HashAlgorithm, SessionFormat } from '../../django/versions.ts'
import { SIGNED_COOKIES_SALT } from '../../engines/signed-cookies.ts'

/** What made the signature of a text. */
export interface Discovered {
  readonly format: SessionFormat
  readonly salt: string
  /** The name of the session store whose salt it is; null for the store of the settings. */
  readonly store: string | null
  readonly secretKey: string
  /** Index of the key in the settings. */
  readonly keyIndex: number
  /** How the key differs from that of the settings, e.g. `without the quotes around it`; null if it does not. */
  readonly spelling: string | null
  readonly algorithm: HashAlgorithm
}

interface Known {
  readonly secretKeys: readonly string[]
  readonly storeClass: string
  readonly keptIn: 'cookie' | 'server'
}

/**
 * Finds the key, the salt and the hash with which a text was signed, among those that are known: the keys of the settings,
 * also as they are often misspelt, and the salts of Django's session stores. The work is bounded.
 */
export function findSignature(text: string, known: Known): Discovered | null {
  const keys = known.secretKeys.flatMap((secretKey, keyIndex) => [
    { secretKey, keyIndex, spelling: null },
    ...spellingsOf(secretKey).map((other) => ({ ...other, keyIndex })),
  ])
  return findSigned(text, keys, known) ?? findLegacy(text, keys, known)
}

type Key = Pick<Discovered, 'secretKey' | 'keyIndex' | 'spelling'>

const ALGORITHMS: readonly HashAlgorithm[] = ['sha256', 'sha1']

/** Source: django/contrib/sessions/backends/base.py, key_salt; signed_cookies.py; django/core/signing.py, dumps. */
function findSigned(text: string, keys: readonly Key[], { storeClass, keptIn }: Known): Discovered | null {
  if (!text.includes(':')) return null
  const own = keptIn === 'cookie' ? SIGNED_COOKIES_SALT : `django.contrib.sessions.${storeClass}`
  const salts = [
    ...storeNames(storeClass).map((name) => [`django.contrib.sessions.${name}`, name] as const),
    [SIGNED_COOKIES_SALT, SIGNED_COOKIES_SALT] as const,
    ['django.core.signing', 'signing.dumps'] as const,
  ].filter(([salt]) => salt !== own)
  for (const key of keys) {
    for (const [salt, store] of [[own, null] as const, ...salts]) {
      for (const algorithm of ALGORITHMS)
        if (isSignedBy(text, { secretKey: key.secretKey, salt, algorithm }))
          return { format: 'signed', salt, store, algorithm, ...key }
    }
  }
  return null
}

function isSignedBy(
  text: string,
  { secretKey, salt, algorithm }: { secretKey: string; salt: string; algorithm: HashAlgorithm },
): boolean {
  try {
    createSigner({ secretKeys: [secretKey], salt, algorithms: [algorithm] }).unsign(text)
    return true
  } catch (error) {
    if (error instanceof BadSignature) return false
    throw error
  }
}

/** Source: base.py, _legacy_decode: the hash is that of `__name__`, without a dot before it. */
function findLegacy(text: string, keys: readonly Key[], { storeClass }: Known): Discovered | null {
  const decoded = decodedBase64(text)
  const [, hash, content] = /^([0-9a-f]{40}):(.*)$/s.exec(decoded) ?? []
  if (hash === undefined || content === undefined) return null
  const nameOf = (path: string) => path.replace(/^.*\./, '')
  const own = nameOf(storeClass)
  const names = [own, ...storeNames(own).filter((name) => name !== own)]
  for (const key of keys) {
    for (const name of names) {
      const salt = `django.contrib.sessions${name}`
      const made = saltedHmac(salt, key.secretKey, 'sha1')().update(content, 'latin1').digest('hex')
      if (constantTimeCompare(hash, made))
        return { format: 'legacy', salt, store: name === own ? null : name, algorithm: 'sha1', ...key }
    }
  }
  return null
}

function decodedBase64(text: string): string {
  try {
    return decodeBase64(text).toString('latin1')
  } catch (error) {
    if (error instanceof BadPayload) return ''
    throw error
  }
}

/** Django's own name, with which the packages sign, too; and the last part of a nested name. */
function storeNames(storeClass: string): string[] {
  return ['SessionStore', storeClass.replace(/^.*\./, '')]
}

/** How a key changes on its way from settings.py through .env files, shells and containers. */
function spellingsOf(secretKey: string): Pick<Key, 'secretKey' | 'spelling'>[] {
  const quotes = /^(['"])(.*)\1$/s.exec(secretKey)
  const spellings: readonly (readonly [secretKey: string, spelling: string])[] = [
    [quotes?.[2] ?? '', 'without the quotes around it'],
    [secretKey.trim(), 'without the blanks around it'],
    [`'${secretKey}'`, 'with single quotes around it'],
    [`"${secretKey}"`, 'with double quotes around it'],
    [`${secretKey}\n`, 'with a line feed at its end'],
    [secretKey.replaceAll('$$', '$'), 'with $ for $$'],
    [secretKey.replaceAll('$', '$$$$'), 'with $$ for $'],
    [secretKey.replaceAll('\\\\', '\\'), 'with one backslash for two'],
    [secretKey.replaceAll('\\$', '$'), 'with $ for \\$'],
  ]
  return spellings
    .filter(([other]) => other !== '' && other !== secretKey)
    .map(([other, spelling]) => ({ secretKey: other, spelling }))
}
