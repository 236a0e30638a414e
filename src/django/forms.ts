/**
 * What Django reads from the body of a form, from the whole body at once. Every step is linear in the body, and fields
 * and files are counted before they are decoded. The rules are Django 6.1's; older versions differ in malformed bodies.
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

/** The body ended early, or is not what its Content-Type says; status 400. Source: MultiPartParserError, UnreadablePostError. */
export class UnreadablePost extends Error {
  override name = 'UnreadablePost'
  readonly code: string = 'ERR_UNREADABLE_POST'
}

export interface FormCounts {
  /** DATA_UPLOAD_MAX_NUMBER_FIELDS. */
  readonly maxFields: number
  /** DATA_UPLOAD_MAX_NUMBER_FILES. */
  readonly maxFiles: number
}

export type Field = readonly [name: string, value: string]

/** Django has two kinds of forms; a body of any other type is not one. */
export type FormType =
  | { readonly type: 'urlencoded' }
  | { readonly type: 'multipart'; readonly boundary: string }

const MAX_HEADER_LENGTH = 10_000

/**
 * What form a Content-Type announces; null where it is not a form.
 * Unlike Django, which decodes other charsets in multipart forms (and before 5.0 in all), only UTF-8 is accepted.
 * @throws {UnreadablePost} for a form that cannot be read.
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

/** Null for a charset that is not known: Django ignores it, too. Source: HttpRequest._set_content_type_params. */
function encodingOf(charset: string): string | null {
  try {
    return new TextDecoder(charset).encoding
  } catch {
    return null
  }
}

/** Source: QueryDict.__init__; CPython's urllib.parse, parse_qsl. @throws {TooManyFieldsSent} */
export function parseUrlencoded(body: Buffer, { maxFields }: Pick<FormCounts, 'maxFields'>): Field[] {
  let count = 1
  for (let at = body.indexOf('&'); at !== -1; at = body.indexOf('&', at + 1)) {
    count += 1
    if (count > maxFields) throw tooManyFields(maxFields)
  }
  // Some clients send Latin-1; Django then takes the whole body for it.
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
 * Decodes `%41`, and `+` to the byte `plus`. Byte by byte: a regular expression takes 20 times as long.
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

/** Negative where this is not a hexadecimal digit. */
function hexOf(byte: number | undefined = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/**
 * The fields of a multipart form; its files are counted and dropped.
 * Django drops a part that it cannot understand, but counts it. Unlike Django, a file without a field's name counts,
 * and before 3.2 files count, too.
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
    // What is before the first boundary and what is after the last count as parts.
    if (fieldCount > maxFields + 2) throw tooManyFields(maxFields)
    if (head?.name === undefined) continue
    fields.push([stripBytes(head.name), fieldValue(part.subarray(head.length), head.isBase64)])
  }
  return fields
}

function tooManyFields(maxFields: number): TooManyFieldsSent {
  return new TooManyFieldsSent(`the form has more than ${maxFields} fields`)
}

/** What is between the boundaries, without the line's end before each. Source: BoundaryIter._find_boundary. */
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
  /** In bytes, with the empty line. */
  readonly length: number
  readonly name: string | undefined
  readonly isFile: boolean
  readonly isBase64: boolean
}

const MAX_TOTAL_HEADER_SIZE = 1024

/** Null where the part has none. Source: parse_boundary_stream. */
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

/** Lines that are not a header are skipped. */
function* headersOf(bytes: Buffer): Generator<HeaderParameters & { name: string }> {
  // A line's bytes are UTF-8, or the line does not count.
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
  /** By name in lower case; of two with one name the last. */
  readonly parameters: ReadonlyMap<string, string>
  /** False where a parameter has a charset that is not supported. */
  readonly isValid: boolean
}

/**
 * A header such as `form-data; name="a"`. Unlike Django 6.1, continuations (`name*0=`) are not joined: RFC 7578 forbids
 * them in forms. Source: django/utils/http.py, parse_header_parameters; CPython's email/message.py, _parseparam.
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

/** At each `;` that is not between quotes. */
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

/** `UTF-8'en'%C3%A9`; null in another charset. Source: RFC 2231, 4. */
function extendedValue(text: string): string | null {
  const [charset = '', , ...value] = text.split("'")
  if (value.length === 0) return text
  return charset === '' || encodingOf(charset) === 'utf-8'
    ? unquote(Buffer.from(value.join("'")), PLUS)
    : null
}

/** Python's bytes.strip: ASCII white space alone. */
function stripBytes(text: string): string {
  const end = endOf(text, WHITE)
  let start = 0
  while (start < end && WHITE.includes(text.charAt(start))) start += 1
  return text.slice(start, end)
}

const WHITE = ' \t\n\r\v\f'

/** Where the text ends without these characters. A regular expression would be quadratic. */
function endOf(text: string, characters: string): number {
  let end = text.length
  while (end > 0 && characters.includes(text.charAt(end - 1))) end -= 1
  return end
}
