import { NotSerializable } from '../json.ts'
import {
  type ClockParts,
  isClock,
  isDate,
  isTimedelta,
  PythonDate,
  PythonDatetime,
  PythonTime,
  PythonTimedelta,
  type PythonTimezone,
} from './datetimes.ts'
import { DictNode, HugeInt, type Node, SetNode, TupleNode, UuidNode } from './nodes.ts'
import { OP } from './opcodes.ts'
import { PythonByteArray, PythonDecimal, PythonFloat, PythonStr, SafeString } from './python-values.ts'
import { longOf } from './scalars.ts'
import { encodeUtf8 } from './utf8.ts'

/**
 * Writes a pickle of protocol 4, which Python loads to an equal value. Django itself writes the highest protocol of its
 * Python: 4 up to Python 3.7, 5 since. Every Python that runs Django 2.2 or later reads 4; Django 2.2 may run on a Python
 * that cannot read 5. Source: CPython's Lib/pickle.py, _Pickler.
 * @throws {NotSerializable} for dates, times and durations that are invalid in Python.
 */
export function writePickle(root: Node): Buffer {
  const output = createOutput()
  const strings = new Map<string, number>()

  function text(string: string): void {
    const known = strings.get(string)
    if (known !== undefined) {
      if (known < 256) output.bytes(OP.BINGET, known)
      else output.sized(OP.LONG_BINGET, 4, known)
      return
    }
    writeText(output, string)
    output.bytes(OP.MEMOIZE)
    strings.set(string, strings.size)
  }
  function named(module: string, name: string): void {
    text(module)
    text(name)
    output.bytes(OP.STACK_GLOBAL)
  }
  function call(module: string, name: string, args: readonly Node[]): void {
    named(module, name)
    tuple(args)
    output.bytes(OP.REDUCE)
  }
  function each(items: Iterable<Node>, end: number): void {
    output.bytes(OP.MARK)
    for (const item of items) write(item)
    output.bytes(end)
  }
  function tuple(items: readonly Node[]): void {
    if (items.length === 0) output.bytes(OP.EMPTY_TUPLE)
    else if (items.length > 3) each(items, OP.TUPLE)
    else {
      for (const item of items) write(item)
      output.bytes(TUPLES[items.length - 1] ?? OP.TUPLE1)
    }
  }
  function dict({ entries }: DictNode): void {
    output.bytes(OP.EMPTY_DICT)
    if (entries.length === 0) return
    output.bytes(OP.MARK)
    for (const [key, value] of entries) {
      write(key)
      write(value)
    }
    output.bytes(OP.SETITEMS)
  }
  function set({ items, isFrozen }: SetNode): void {
    if (isFrozen) {
      each(items, OP.FROZENSET)
      return
    }
    output.bytes(OP.EMPTY_SET)
    if (items.length > 0) each(items, OP.ADDITEMS)
  }
  function uuid(node: UuidNode): void {
    named('uuid', 'UUID')
    const integer = BigInt(`0x${node.uuid?.text.replaceAll('-', '')}`)
    const state = new DictNode()
    state.set('int', integer)
    if (typeof node.uuid?.isSafe === 'number') state.set('is_safe', node.uuid.isSafe)
    output.bytes(OP.EMPTY_TUPLE, OP.NEWOBJ)
    dict(state)
    output.bytes(OP.BUILD)
  }
  function timezone({ source }: PythonTimezone): void {
    switch (source.kind) {
      case 'datetime.timezone':
        call('datetime', 'timezone', [source.offset, ...(source.name === null ? [] : [source.name])])
        return
      case 'pytz._UTC':
        call('pytz', '_UTC', [])
        return
      case 'pytz.FixedOffset':
        call('pytz', 'FixedOffset', [source.minutes])
        return
      case 'pytz._p': {
        const { zone, local } = source
        call('pytz', '_p', local === null ? [zone] : [zone, local.utcOffset, local.dst, local.name])
        return
      }
      default:
        named('builtins', 'getattr')
        named(source.kind.replace('.ZoneInfo', ''), 'ZoneInfo')
        text('_unpickle')
        output.bytes(OP.TUPLE2, OP.REDUCE)
        tuple([source.zone, Number(source.fromCache)])
        output.bytes(OP.REDUCE)
    }
  }
  function moment(
    name: 'date' | 'time' | 'datetime',
    state: Uint8Array,
    zone: PythonTimezone | null = null,
  ): void {
    call('datetime', name, zone === null ? [state] : [state, zone])
  }

  function write(node: Node): void {
    if (typeof node === 'string') text(node)
    else if (node === null) output.bytes(OP.NONE)
    else if (typeof node === 'boolean') output.bytes(node ? OP.NEWTRUE : OP.NEWFALSE)
    else if (typeof node === 'number') writeInt(output, node)
    else if (typeof node === 'bigint') writeLong(output, longOf(node))
    else if (node instanceof DictNode) dict(node)
    else if (Array.isArray(node)) {
      output.bytes(OP.EMPTY_LIST)
      if (node.length > 0) each(node, OP.APPENDS)
    } else if (node instanceof TupleNode) tuple(node.items)
    else if (node instanceof SetNode) set(node)
    else if (node instanceof PythonFloat) output.float(node.value)
    else if (node instanceof HugeInt) writeLong(output, node.bytes)
    else if (node instanceof PythonStr) writeStr(output, node.utf8)
    else if (node instanceof SafeString) {
      named('django.utils.safestring', node.className)
      tuple([node.text])
      output.bytes(OP.NEWOBJ)
    } else if (node instanceof PythonByteArray) call('builtins', 'bytearray', [new Uint8Array(node)])
    else if (node instanceof Uint8Array) writeBytes(output, node)
    else if (node instanceof PythonDecimal) call('decimal', 'Decimal', [node.text])
    else if (node instanceof UuidNode) uuid(node)
    else if (node instanceof PythonDatetime) moment('datetime', datetimeState(node), node.timezone)
    else if (node instanceof PythonDate) moment('date', dateState(node))
    else if (node instanceof PythonTime) moment('time', timeState(node), node.timezone)
    else if (node instanceof PythonTimedelta) {
      if (!isTimedelta(node)) throw new NotSerializable('A PythonTimedelta is outside the range of Python')
      call('datetime', 'timedelta', [node.days, node.seconds, node.microseconds])
    } else timezone(node)
  }

  output.bytes(OP.PROTO, 4)
  write(root)
  output.bytes(OP.STOP)
  return output.end()
}

const TUPLES = [OP.TUPLE1, OP.TUPLE2, OP.TUPLE3]

function writeInt(output: Output, integer: number): void {
  if (integer >= 0 && integer < 256) output.bytes(OP.BININT1, integer)
  else if (integer >= 0 && integer < 65_536) output.sized(OP.BININT2, 2, integer)
  else if (integer === (integer | 0)) output.sized(OP.BININT, 4, integer >>> 0)
  else writeLong(output, longOf(BigInt(integer)))
}

function writeLong(output: Output, bytes: Uint8Array): void {
  if (bytes.length < 256) output.sized(OP.LONG1, 1, bytes.length)
  else output.sized(OP.LONG4, 4, bytes.length)
  output.raw(bytes)
}

function writeText(output: Output, text: string): void {
  if (text.isWellFormed()) output.text(text)
  else writeStr(output, encodeUtf8(text))
}

function writeStr(output: Output, utf8: Uint8Array): void {
  if (utf8.length < 256) output.sized(OP.SHORT_BINUNICODE, 1, utf8.length)
  else output.sized(OP.BINUNICODE, 4, utf8.length)
  output.raw(utf8)
}

function writeBytes(output: Output, bytes: Uint8Array): void {
  if (bytes.length < 256) output.sized(OP.SHORT_BINBYTES, 1, bytes.length)
  else output.sized(OP.BINBYTES, 4, bytes.length)
  output.raw(bytes)
}

/** Source: CPython's Lib/_pydatetime.py, datetime._getstate. */
function datetimeState(datetime: PythonDatetime): Uint8Array {
  const state = [...dateState(datetime), ...clockState(datetime)]
  if (datetime.fold === 1) state[2] = (state[2] ?? 0) | 0x80
  return Uint8Array.from(state)
}

function timeState(time: PythonTime): Uint8Array {
  const state = clockState(time)
  if (time.fold === 1) state[0] = (state[0] ?? 0) | 0x80
  return Uint8Array.from(state)
}

function dateState(date: PythonDate): Uint8Array {
  if (!isDate(date))
    throw new NotSerializable(
      'A PythonDate or PythonDatetime is not a valid date in Python (years 1 to 9999)',
    )
  return Uint8Array.of(date.year >> 8, date.year & 0xff, date.month, date.day)
}

function clockState(clock: Required<ClockParts>): number[] {
  if (!isClock(clock)) throw new NotSerializable('A PythonTime or PythonDatetime is not a valid time of day')
  const { hour, minute, second, microsecond } = clock
  return [hour, minute, second, microsecond >> 16, (microsecond >> 8) & 0xff, microsecond & 0xff]
}

/** A buffer that grows as bytes are appended. */
interface Output {
  bytes(first: number, second?: number): void
  /** Appends an opcode and a little-endian number of `size` bytes. */
  sized(opcode: number, size: number, number: number): void
  float(number: number): void
  raw(bytes: Uint8Array): void
  /** Appends a well-formed string with its opcode and size. */
  text(text: string): void
  end(): Buffer
}

function createOutput(): Output {
  let buffer = Buffer.allocUnsafe(1024)
  let length = 0

  function reserve(size: number): void {
    if (length + size <= buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, length + size))
    buffer.copy(larger, 0, 0, length)
    buffer = larger
  }

  return {
    bytes(first, second) {
      reserve(2)
      buffer[length] = first
      length += 1
      if (second === undefined) return
      buffer[length] = second
      length += 1
    },
    sized(opcode, size, number) {
      reserve(size + 1)
      buffer[length] = opcode
      length += 1
      length = buffer.writeUIntLE(number, length, size)
    },
    float(number) {
      reserve(9)
      length = buffer.writeUInt8(OP.BINFLOAT, length)
      length = buffer.writeDoubleBE(number, length)
    },
    raw(bytes) {
      reserve(bytes.length)
      buffer.set(bytes, length)
      length += bytes.length
    },
    text(text) {
      // A UTF-16 unit is three bytes at most.
      const isShort = text.length * 3 < 256
      const head = isShort ? 2 : 5
      reserve(head + text.length * 3)
      const size = buffer.write(text, length + head)
      if (isShort || size >= 256) {
        buffer[length] = isShort ? OP.SHORT_BINUNICODE : OP.BINUNICODE
        buffer.writeUIntLE(size, length + 1, head - 1)
        length += head + size
        return
      }
      buffer[length] = OP.SHORT_BINUNICODE
      buffer[length + 1] = size
      buffer.copyWithin(length + 2, length + head, length + head + size)
      length += 2 + size
    },
    end: () => Buffer.from(buffer.subarray(0, length)),
  }
}
