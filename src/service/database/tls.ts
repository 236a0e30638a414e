import { readFileSync } from 'node:fs'
import { getCACertificates, type SecureContextOptions } from 'node:tls'
import type { TlsSettings } from '../settings/database-settings.ts'
import { DatabaseMismatch } from './connection.ts'

/** Node's TLS options. @throws {DatabaseMismatch} when a file cannot be read. */
export function secureOptions(tls: TlsSettings): SecureContextOptions & { rejectUnauthorized: boolean } {
  const { ca, cert, key, passphrase, crl, minVersion, maxVersion } = tls
  return {
    ...(ca !== null && { ca: ca === 'system' ? getCACertificates('system') : readPem(ca) }),
    ...(cert !== null && { cert: readPem(cert) }),
    ...(key !== null && { key: readPem(key) }),
    ...(passphrase !== null && { passphrase }),
    ...(crl !== null && { crl: readPem(crl) }),
    ...(minVersion !== null && { minVersion }),
    ...(maxVersion !== null && { maxVersion }),
    rejectUnauthorized: tls.verify !== 'nothing',
  }
}

/** The error for a server without TLS when the settings require it. */
export function lackOfTls(option: string, cause: unknown): DatabaseMismatch {
  return new DatabaseMismatch(
    `the server does not support TLS, which the URL of the database requires; turn TLS on there, or change ${option}`,
    { cause },
  )
}

/** The error for a rejected certificate; null when `error` is not about one. By message: drivers replace its code. */
export function refusedCertificate(error: Error, option: string): DatabaseMismatch | null {
  if (!/certificate|altnames/.test(error.message)) return null
  return new DatabaseMismatch(
    `the server's certificate is refused: ${error.message.replace(/;.*/s, '')}; ` +
      `set ${option} in the URL of the database to the file of the authority that signed it, and use a host name of the certificate`,
    { cause: error },
  )
}

function readPem(filename: string): string {
  try {
    return readFileSync(filename, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${error.code})` : ''
    throw new DatabaseMismatch(
      `the file ${filename}, which the URL of the database names for TLS, cannot be read${code}; ` +
        'write the path of a file that the user of this process may read',
      { cause: error },
    )
  }
}
