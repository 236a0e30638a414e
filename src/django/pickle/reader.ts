import { PayloadTooLarge } from '../signing.ts'
import { PickleRefused, UnpicklingError } from './errors.ts'
import { type Argument, completeUuid, Global, globalNamed, tupleOf, unexpectedArguments } from './globals.ts'
import { Input } from './input.ts'
import type { PickleLimits } from './measure.ts'
import { DictNode, isHashable, type Node, SetNode, TupleNode, UuidNode } from './nodes.ts'
import { OP, REFUSED_OPCODES } from './opcodes.ts'
import { PythonByteArray, PythonFloat } from './python-values.ts'
import {
  parseAscii,
  parseFloatText,
  parseInteger,
  parseLong,
  parseQuoted,
  parseRawUnicode,
} from './scalars.ts'

/**
 * Reads a pickle of protocol 0 to 5 as plain data. Nothing is imported or called: classes and functions are looked up in a
 * table, and any other is refused. Bytes after the end of the pickle are ignored, as in `pickle.loads`.
 * The work is linear in the number of bytes. The result may share parts, and even contain itself: see `measure`.
 * Source: CPython's Lib/pickle.py, _Unpickler.
 * @throws {PickleRefused} {UnpicklingError} {PayloadTooLarge}
 */
export function readPickle(bytes: Uint8Array, { maxBytes, maxObjects }: PickleLimits): Node {
  if (bytes.length > maxBytes) throw new PayloadTooLarge(`The pickle is larger than ${maxBytes} bytes`)
  const input = new Input(bytes)
  const memo: Argument[] = []
  let memoSize = 0
  const outer: Argument[][] = []
  let stack: Argument[] = []
  let objects = 0
  let copied = 0

  function count(): void {
    objects += 1
    if (objects > maxObjects) throw new PayloadTooLarge(`The pickle holds more than ${maxObjects} objects`)
  }
  function push(value: Argument): void {
    stack.push(value)
  }
  function pushObject(value: Argument): void {
    count()
    stack.push(value)
  }
  function pop(): Argument {
    const value = stack.pop()
    if (value === undefined) throw new UnpicklingError('The stack is empty', input.position)
    return value
  }
  function top(): Argument {
    const value = stack.at(-1)
    if (value === undefined) throw new UnpicklingError('The stack is empty', input.position)
    return value
  }
  /** Returns the items pushed since the last mark. */
  function popMark(): Node[] {
    const items = stack
    const below = outer.pop()
    if (below === undefined) throw new UnpicklingError('There is no mark', input.position)
    stack = below
    return items as Node[] // `measure` finds a Global among them that is not an argument
  }
  function memoize(index: number): void {
    if (!(index >= 0 && index < maxObjects * 4))
      throw new PayloadTooLarge(`The pickle has more than ${maxObjects * 4} memo entries`)
    // Gaps are filled, because V8 stores a sparse array as a hash table.
    while (memo.length < index) memo.push(NOTHING)
    if (index === memo.length || memo[index] === NOTHING) memoSize += 1
    memo[index] = top()
  }
  function recall(index: number): void {
    const value = memo[index]
    if (value === undefined || value === NOTHING)
      throw new UnpicklingError('The memo has no entry with this number', input.position)
    stack.push(value)
  }
  /** Limits the copies: some calls copy their arguments, and one argument may be passed many times. */
  function countCopied(args: readonly Argument[]): void {
    for (const arg of args) {
      if (typeof arg === 'string' || Array.isArray(arg) || arg instanceof Uint8Array) copied += arg.length
    }
    if (copied > maxBytes) throw new PayloadTooLarge(`The pickle copies more than ${maxBytes} bytes`)
  }
  function tuple(length: number): void {
    if (stack.length < length) throw new UnpicklingError('The stack is empty', input.position)
    pushObject(tupleOf(stack.splice(stack.length - length) as Node[]))
  }
  function extend(items: readonly Node[]): void {
    const list = top()
    if (!Array.isArray(list))
      throw new UnpicklingError('APPEND to an object that is not a list', input.position)
    for (const item of items) list.push(item)
  }
  function setItems(items: readonly Node[]): void {
    const dict = top()
    if (!(dict instanceof DictNode))
      throw new UnpicklingError('SETITEM in an object that is not a dict', input.position)
    if (items.length % 2 === 1) throw new UnpicklingError('A key has no value', input.position)
    for (let at = 0; at < items.length; at += 2) {
      dict.set(hashable(items[at] as Node), items[at + 1] as Node)
    }
  }
  function addItems(items: readonly Node[]): void {
    const set = top()
    if (!(set instanceof SetNode) || set.isFrozen)
      throw new UnpicklingError('ADDITEMS to an object that is not a set', input.position)
    for (const item of items) set.items.push(hashable(item))
  }
  function hashable(key: Node): Node {
    if (isHashable(key)) return key
    throw new UnpicklingError('A key cannot be hashed', input.position)
  }
  function apply(verb: 'call' | 'make'): void {
    const args = pop()
    const callee = pop()
    if (!(callee instanceof Global))
      throw new PickleRefused('a call of an object that is not a class or function')
    if (!(args instanceof TupleNode))
      throw new UnpicklingError('The arguments are not a tuple', input.position)
    countCopied(args.items)
    const made = callee[verb]?.(args.items) ?? null
    if (made === null) throw unexpectedArguments(callee.name)
    pushObject(made)
  }
  function build(): void {
    const state = pop()
    const object = top()
    if (!(object instanceof UuidNode && state instanceof DictNode))
      throw new PickleRefused('an object with a state')
    completeUuid(object, state)
  }
  function dictOf(items: readonly Node[]): void {
    pushObject(new DictNode())
    setItems(items)
  }
  function integerLine(): Argument {
    const line = input.line()
    if (line === '00' || line === '01') return line === '01'
    return parseInteger(line)
  }
  function namedOnStack(): void {
    const name = pop()
    const module = pop()
    if (typeof name !== 'string' || typeof module !== 'string')
      throw new UnpicklingError('The name of a class is not a str', input.position)
    push(globalNamed(module, name))
  }
  function utf8(length: number): void {
    push(input.text(length))
  }
  function bytesOf(length: number): void {
    pushObject(new Uint8Array(input.take(length)))
  }

  for (;;) {
    const at = input.position
    const opcode = input.byte()
    switch (opcode) {
      case OP.PROTO:
        if (input.byte() > 5) throw new UnpicklingError('The protocol is unknown', at)
        break
      case OP.FRAME:
        if (input.unsigned(8) > bytes.length - input.position)
          throw new UnpicklingError('The pickle is incomplete', at)
        break
      case OP.STOP: {
        const value = pop()
        if (value instanceof Global) throw new PickleRefused(value.name)
        return value
      }
      case OP.MARK:
        count()
        outer.push(stack)
        stack = []
        break
      case OP.POP:
        // As in Python: if there is no item above the mark, POP removes the mark.
        if (stack.length > 0) stack.pop()
        else popMark()
        break
      case OP.POP_MARK:
        popMark()
        break
      case OP.DUP:
        push(top())
        break
      case OP.MEMOIZE:
        memoize(memoSize)
        break
      case OP.PUT:
        memoize(Number(parseInteger(input.line())))
        break
      case OP.BINPUT:
        memoize(input.byte())
        break
      case OP.LONG_BINPUT:
        memoize(input.unsigned(4))
        break
      case OP.GET:
        recall(Number(parseInteger(input.line())))
        break
      case OP.BINGET:
        recall(input.byte())
        break
      case OP.LONG_BINGET:
        recall(input.unsigned(4))
        break
      case OP.NONE:
        push(null)
        break
      case OP.NEWTRUE:
        push(true)
        break
      case OP.NEWFALSE:
        push(false)
        break
      case OP.INT:
        push(integerLine())
        break
      case OP.LONG:
        push(parseInteger(input.line().replace(/L$/, '')))
        break
      case OP.BININT:
        push(input.int32())
        break
      case OP.BININT1:
        push(input.byte())
        break
      case OP.BININT2:
        push(input.unsigned(2))
        break
      case OP.LONG1:
        push(parseLong(input.take(input.byte())))
        break
      case OP.LONG4:
        // In Python the size is signed, and a negative one is an error; here it is too large, which is an error, too.
        push(parseLong(input.take(input.unsigned(4))))
        break
      case OP.FLOAT:
        push(parseFloatText(input.line()))
        break
      case OP.BINFLOAT:
        push(new PythonFloat(input.double()))
        break
      case OP.STRING:
        push(parseQuoted(input.line()))
        break
      case OP.BINSTRING:
        push(parseAscii(input.take(input.unsigned(4))))
        break
      case OP.SHORT_BINSTRING:
        push(parseAscii(input.take(input.byte())))
        break
      case OP.UNICODE:
        push(parseRawUnicode(input.line()))
        break
      case OP.SHORT_BINUNICODE:
        utf8(input.byte())
        break
      case OP.BINUNICODE:
        utf8(input.unsigned(4))
        break
      case OP.BINUNICODE8:
        utf8(input.unsigned(8))
        break
      case OP.SHORT_BINBYTES:
        bytesOf(input.byte())
        break
      case OP.BINBYTES:
        bytesOf(input.unsigned(4))
        break
      case OP.BINBYTES8:
        bytesOf(input.unsigned(8))
        break
      case OP.BYTEARRAY8:
        pushObject(new PythonByteArray(input.take(input.unsigned(8))))
        break
      case OP.EMPTY_LIST:
        pushObject([])
        break
      case OP.LIST:
        pushObject(popMark())
        break
      case OP.APPEND:
        extend([pop() as Node])
        break
      case OP.APPENDS:
        extend(popMark())
        break
      case OP.EMPTY_TUPLE:
        tuple(0)
        break
      case OP.TUPLE1:
        tuple(1)
        break
      case OP.TUPLE2:
        tuple(2)
        break
      case OP.TUPLE3:
        tuple(3)
        break
      case OP.TUPLE:
        pushObject(tupleOf(popMark()))
        break
      case OP.EMPTY_DICT:
        dictOf([])
        break
      case OP.DICT:
        dictOf(popMark())
        break
      case OP.SETITEM: {
        const value = pop() as Node
        setItems([pop() as Node, value])
        break
      }
      case OP.SETITEMS:
        setItems(popMark())
        break
      case OP.EMPTY_SET:
        pushObject(new SetNode([], false))
        break
      case OP.ADDITEMS:
        addItems(popMark())
        break
      case OP.FROZENSET:
        pushObject(new SetNode(popMark().map(hashable), true))
        break
      case OP.GLOBAL:
        push(globalNamed(input.line(), input.line()))
        break
      case OP.STACK_GLOBAL:
        namedOnStack()
        break
      case OP.REDUCE:
        apply('call')
        break
      case OP.NEWOBJ:
        apply('make')
        break
      case OP.BUILD:
        build()
        break
      default:
        throw REFUSED_OPCODES.has(opcode)
          ? new PickleRefused(REFUSED_OPCODES.get(opcode) ?? '')
          : new UnpicklingError('Unknown opcode', at)
    }
  }
}

/** Fills gaps of the memo. */
const NOTHING = new Global('nothing', null)
