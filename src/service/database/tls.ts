import { readFileSync } from 'node:fs'
import { getCACertificates, type SecureContextOptions } from 'node:tls'
import type { TlsSettings } from '../settings/database-settings.ts'
import { DatabaseMismatch } from './connection.ts'

/** What Node's TLS is told. @throws {DatabaseMismatch} when a file cannot be read. */
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

/** The settings ask for TLS, which the server has not. */
export function lackOfTls(option: string, cause: unknown): DatabaseMismatch {
  return new DatabaseMismatch(
    `the server has no TLS, which the URL of the database asks for; set it up there, or change ${option}`,
    { cause },
  )
}

/** Null where an error is not about the server's certificate. Drivers replace its code by their own. */
export function refusedCertificate(error: Error, option: string): DatabaseMismatch | null {
  if (!/certificate|altnames/.test(error.message)) return null
  return new DatabaseMismatch(
    `the server's certificate is refused: ${error.message.replace(/;.*/s, '')}; ` +
      `let ${option} in the URL of the database name the authority that signed it, and the host be as the certificate has it`,
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
        'write the path of one that this user may read',
      { cause: error },
    )
  }
}
