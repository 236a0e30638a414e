import type { SecureVersion } from 'node:tls'

/** How to encrypt the connection, and which certificates to trust; file names, not contents. */
export interface TlsSettings {
  /** `required`; or `preferred`: unencrypted if the server has no TLS; or `allowed`: unencrypted if the server accepts it. */
  readonly use: 'required' | 'preferred' | 'allowed'
  /** What of the server's certificate is checked: nothing, its authority, or its host name too. */
  readonly verify: 'nothing' | 'authority' | 'host'
  /** File of the certificate authority; `system` for those of the system, null for those that Node trusts. */
  readonly ca: string | null
  /** Files of the client's certificate and its key, and the passphrase of the key; null for none. */
  readonly cert: string | null
  readonly key: string | null
  readonly passphrase: string | null
  /** File of the revoked certificates; null for none. PostgreSQL only. */
  readonly crl: string | null
  /** Null: Node's default. */
  readonly minVersion: SecureVersion | null
  readonly maxVersion: SecureVersion | null
  /** Whether TLS begins at once, without negotiation (PostgreSQL 17's `sslnegotiation=direct`). */
  readonly isDirect: boolean
}

export type TlsMode = Pick<TlsSettings, 'use' | 'verify'>

/** Null for no encryption. */
export type TlsModes = ReadonlyMap<string, TlsMode | null>

const TLS_DEFAULTS: TlsSettings = {
  use: 'preferred',
  verify: 'nothing',
  ca: null,
  cert: null,
  key: null,
  passphrase: null,
  crl: null,
  minVersion: null,
  maxVersion: null,
  isDirect: false,
}

/**
 * A named authority is checked even if the mode does not require it. TLS is then required, unless the mode says otherwise.
 * Stricter than libpq, which gives up TLS under `prefer` when the authority is not the server's.
 */
export function tlsOf(mode: TlsMode | null | undefined, files: Partial<TlsSettings>): TlsSettings | null {
  if (mode === null) return null
  const settings = { ...TLS_DEFAULTS, ...mode, ...files }
  const ca = settings.ca ?? settings.crl
  const isUnchecked = settings.verify === 'nothing' && ca !== null
  return {
    ...settings,
    ...(mode === undefined && ca !== null && { use: 'required' }),
    ...(isUnchecked && { verify: 'authority' }),
  }
}
