/**
 * Parses the body of a form as Django does; the body must be complete. Every step takes linear time, and fields and files
 * are counted before they are decoded. The rules are those of Django 6.1; older versions differ for malformed bodies.
 * Source: django/http/request.py, QueryDict; django/http/multipartparser.py.
 */
import { isUtf8 } from 'node:buffer'

/** The form has more fields than allowed; status 400. Source: django/core/exceptions.py, TooManyFieldsSent. */
export class TooManyFieldsSent extends Error {
  override name = 'TooManyFieldsSent'
  readonly code: string = 'ERR_TOO_MANY_FIELDS'
}

/** The form has more files than allowed; status 400. Source: django/core/exceptions.py, TooManyFilesSent. */
export class TooManyFilesSent extends Error {
  override name = 'TooManyFilesSent'
  readonly code: string = 'ERR_TOO_MANY_FILES'
}

/**
 * The body ended early, or does not match its Content-Type; status 400.
 * Source: MultiPartParserError, UnreadablePostError.
 */
export class UnreadablePost extends Error {
  override name = 'UnreadablePost'
  readonly code: string = 'ERR_UNREADABLE_POST'
}

/** Limits on the number of fields and files. */
export interface FormCounts {
  /** DATA_UPLOAD_MAX_NUMBER_FIELDS. */
  readonly maxFields: number
  /** DATA_UPLOAD_MAX_NUMBER_FILES. */
  readonly maxFiles: number
}

/** A form field. */
export type Field = readonly [name: string, value: string]

/** The two content types that Django reads as forms. */
export type FormType =
  | { readonly type: 'urlencoded' }
  | { readonly type: 'multipart'; readonly boundary: string }

const MAX_HEADER_LENGTH = 10_000

/**
 * Returns the form type that a Content-Type declares; null if the body is not a form.
 * Unlike Django, which decodes other charsets in multipart forms (before 5.0 in all forms), only UTF-8 is accepted.
 * @throws {UnreadablePost} if the Content-Type is too long, declares another charset or has no valid boundary.
 */
export function formTypeOf(contentType: string): FormType | null {
  if (contentType.length > MAX_HEADER_LENGTH) throw new UnreadablePost('the Content-Type is too long')
  const { value, parameters } = parseHeaderParameters(contentType)
  const isMultipart = value === 'multipart/form-data'
  if (!isMultipart && value !== 'application/x-www-form-urlencoded') return null
  if ((encodingOf(parameters.get('charset') ?? '') ?? 'utf-8') !== 'utf-8') {
    throw new UnreadablePost('the form has a charset that is not supported; it must be UTF-8')
  }
  if (!isMultipart) return { type: 'urlencoded' }
  const boundary = parameters.get('boundary') ?? ''
  if (!BOUNDARY.test(boundary) || !contentType.startsWith('multipart/')) {
    throw new UnreadablePost('the Content-Type of the multipart form has no valid boundary')
  }
  return { type: 'multipart', boundary }
}

const BOUNDARY = /^[ -~]{0,200}[!-~]$/

/** Null for an unknown charset, which Django ignores, too. Source: HttpRequest._set_content_type_params. */
function encodingOf(charset: string): string | null {
  try {
    return new TextDecoder(charset).encoding
  } catch {
    return null
  }
}

/**
 * Parses an urlencoded form or a query string.
 * Source: QueryDict.__init__; CPython's urllib.parse, parse_qsl.
 * @throws {TooManyFieldsSent}
 */
export function parseUrlencoded(body: Buffer, { maxFields }: Pick<FormCounts, 'maxFields'>): Field[] {
  let count = 1
  for (let at = body.indexOf('&'); at !== -1; at = body.indexOf('&', at + 1)) {
    count += 1
    if (count > maxFields) throw tooManyFields(maxFields)
  }
  // If the body is not UTF-8, Django decodes all of it as Latin-1, which some clients send.
  const bytes = isUtf8(body) ? body : Buffer.from(body.toString('latin1'), 'utf8')
  const fields: Field[] = []
  for (let start = 0; start < bytes.length; ) {
    const found = bytes.indexOf('&', start)
    const end = found === -1 ? bytes.length : found
    if (end > start) fields.push(fieldOf(bytes.subarray(start, end)))
    start = end + 1
  }
  return fields
}

function fieldOf(pair: Buffer): Field {
  const equals = pair.indexOf('=')
  if (equals === -1) return [unquote(pair, SPACE), '']
  return [unquote(pair.subarray(0, equals), SPACE), unquote(pair.subarray(equals + 1), SPACE)]
}

const PERCENT = 0x25
const PLUS = 0x2b
const SPACE = 0x20

/**
 * Decodes `%41`, and `+` to the byte `plus`. Works byte by byte, because a regular expression takes 20 times as long.
 * Source: CPython's urllib.parse, unquote.
 */
function unquote(bytes: Buffer, plus: number): string {
  const decoded = Buffer.allocUnsafe(bytes.length)
  let length = 0
  for (let at = 0; at < bytes.length; at += 1) {
    let byte = bytes[at] ?? 0
    if (byte === PLUS) byte = plus
    if (byte === PERCENT) {
      const code = (hexOf(bytes[at + 1]) << 4) | hexOf(bytes[at + 2])
      if (code >= 0) {
        byte = code
        at += 2
      }
    }
    decoded[length] = byte
    length += 1
  }
  return decoded.toString('utf8', 0, length)
}

/** The value of a hexadecimal digit; negative for another byte. */
function hexOf(byte: number | undefined = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/**
 * Returns the fields of a multipart form; files are counted and dropped. As in Django, a part that cannot be parsed is
 * dropped but counted. Unlike Django, a file without a field name is counted. Unlike Django before 3.2, files are counted.
 * @throws {TooManyFieldsSent} {TooManyFilesSent} {UnreadablePost}
 */
export function parseMultipart(body: Buffer, boundary: string, { maxFields, maxFiles }: FormCounts): Field[] {
  const fields: Field[] = []
  let fieldCount = 0
  let fileCount = 0
  for (const part of partsOf(body, `--${boundary}`)) {
    const head = readHead(part)
    if (head?.isFile) {
      fileCount += 1
      if (fileCount > maxFiles) throw new TooManyFilesSent(`the form has more than ${maxFiles} files`)
      continue
    }
    fieldCount += 1
    // Two more, because the text before the first boundary and after the last one are counted as parts.
    if (fieldCount > maxFields + 2) throw tooManyFields(maxFields)
    if (head?.name === undefined) continue
    fields.push([stripBytes(head.name), fieldValue(part.subarray(head.length), head.isBase64)])
  }
  return fields
}

function tooManyFields(maxFields: number): TooManyFieldsSent {
  return new TooManyFieldsSent(`the form has more than ${maxFields} fields`)
}

/** The parts between the boundaries, without the line end before each boundary. Source: BoundaryIter._find_boundary. */
function* partsOf(body: Buffer, separator: string): Generator<Buffer> {
  const needle = Buffer.from(separator, 'latin1')
  for (let start = 0; start < body.length; ) {
    const found = body.indexOf(needle, start)
    let end = found === -1 ? body.length : found
    const next = found === -1 ? body.length : found + needle.length
    if (found !== -1 && end > start && body[end - 1] === LF) end -= 1
    if (found !== -1 && end > start && body[end - 1] === CR) end -= 1
    yield body.subarray(start, end)
    start = next
  }
}

const LF = 0x0a
const CR = 0x0d

interface Head {
  /** In bytes, including the empty line. */
  readonly length: number
  readonly name: string | undefined
  readonly isFile: boolean
  readonly isBase64: boolean
}

const MAX_TOTAL_HEADER_SIZE = 1024

/** The headers of a part; null if it has none. Source: parse_boundary_stream. */
function readHead(part: Buffer): Head | null {
  const chunk = part.subarray(0, MAX_TOTAL_HEADER_SIZE)
  const end = chunk.indexOf('\r\n\r\n')
  if (end === -1 && chunk.length === MAX_TOTAL_HEADER_SIZE) {
    throw new UnreadablePost(`a part of the form has headers of more than ${MAX_TOTAL_HEADER_SIZE} bytes`)
  }
  if (end === -1) return null
  let head: Head | null = null
  let isBase64 = false
  for (const { name, value, parameters } of headersOf(chunk.subarray(0, end))) {
    if (name === 'content-transfer-encoding') isBase64 = value === 'base64'
    if (name !== 'content-disposition') continue
    const isFile = (parameters.get('filename') ?? '') !== ''
    head = { length: end + 4, name: parameters.get('name'), isFile, isBase64 }
  }
  return head === null ? null : { ...head, isBase64 }
}

/** Parses the header lines; other lines are skipped. */
function* headersOf(bytes: Buffer): Generator<HeaderParameters & { name: string }> {
  // A line that is not UTF-8 is skipped.
  for (const line of bytes.toString('latin1').split('\r\n')) {
    const raw = Buffer.from(line, 'latin1')
    const colon = line.indexOf(':')
    if (colon === -1 || !isUtf8(raw)) continue
    const name = line.slice(0, endOf(line.slice(0, colon), ' ')).toLowerCase()
    const parsed = parseHeaderParameters(raw.toString('utf8', colon + 1))
    if (parsed.isValid) yield { name, ...parsed }
  }
}

/** Source: MultiPartParser._parse; CPython's base64.b64decode with validate=True. */
function fieldValue(bytes: Buffer, isBase64: boolean): string {
  const text = isBase64 && bytes.length % 4 === 0 ? bytes.toString('latin1') : ''
  return (BASE64.test(text) ? Buffer.from(text, 'base64') : bytes).toString('utf8')
}

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

interface HeaderParameters {
  /** In lower case. */
  readonly value: string
  /** By name in lower case; of several with one name, the last. */
  readonly parameters: ReadonlyMap<string, string>
  /** False if a parameter has an unsupported charset. */
  readonly isValid: boolean
}

/**
 * Parses a header such as `form-data; name="a"`. Unlike Django 6.1, continuations (`name*0=`) are not joined, because
 * RFC 7578 forbids them in forms. Source: django/utils/http.py, parse_header_parameters; CPython's email/message.py, _parseparam.
 */
function parseHeaderParameters(header: string): HeaderParameters {
  const [value = '', ...rest] = splitParameters(header)
  const parameters = new Map<string, string>()
  let isValid = true
  for (const parameter of rest) {
    const equals = parameter.indexOf('=')
    const name = (equals === -1 ? parameter : parameter.slice(0, equals)).trim().toLowerCase()
    const unquoted = equals === -1 ? '' : withoutQuotes(parameter.slice(equals + 1).trim())
    if (!name.endsWith('*')) {
      parameters.set(name, unquoted)
      continue
    }
    const extended = extendedValue(unquoted)
    if (extended === null) isValid = false
    else parameters.set(name.slice(0, -1), extended)
  }
  return { value: value.trim().toLowerCase(), parameters, isValid }
}

/** Splits at each `;` outside quotes. */
function splitParameters(header: string): string[] {
  const parameters: string[] = []
  let start = 0
  let isQuoted = false
  for (let at = 0; at < header.length; at += 1) {
    if (header[at] === '"' && header[at - 1] !== '\\') isQuoted = !isQuoted
    if (header[at] !== ';' || isQuoted) continue
    parameters.push(header.slice(start, at))
    start = at + 1
  }
  parameters.push(header.slice(start))
  return parameters
}

/** Source: CPython's email/utils.py, unquote. */
function withoutQuotes(text: string): string {
  if (text.length < 2) return text
  if (text.startsWith('"') && text.endsWith('"')) {
    return text.slice(1, -1).replaceAll('\\\\', '\\').replaceAll('\\"', '"')
  }
  return text.startsWith('<') && text.endsWith('>') ? text.slice(1, -1) : text
}

/** Decodes `UTF-8'en'%C3%A9`; null for another charset. Source: RFC 2231, section 4. */
function extendedValue(text: string): string | null {
  const [charset = '', , ...value] = text.split("'")
  if (value.length === 0) return text
  return charset === '' || encodingOf(charset) === 'utf-8'
    ? unquote(Buffer.from(value.join("'")), PLUS)
    : null
}

/** Python's bytes.strip, which strips only ASCII whitespace. */
function stripBytes(text: string): string {
  const end = endOf(text, ASCII_WHITESPACE)
  let start = 0
  while (start < end && ASCII_WHITESPACE.includes(text.charAt(start))) start += 1
  return text.slice(start, end)
}

const ASCII_WHITESPACE = ' \t\n\r\v\f'

/** The end of the text without these trailing characters. A regular expression would take quadratic time. */
function endOf(text: string, characters: string): number {
  let end = text.length
  while (end > 0 && characters.includes(text.charAt(end - 1))) end -= 1
  return end
}
