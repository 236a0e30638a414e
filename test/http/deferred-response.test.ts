import { get, type ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { holdResponse } from '../../src/http/deferred-response.ts'
import type { Scope } from '../support/file-scope.ts'
import { listen } from '../support/library.ts'

type Answerer = (response: ServerResponse) => unknown

/** What a browser gets of this handler, with a header that is known only later. */
async function ask(
  t: Scope,
  answer: Answerer,
  prepare: (status: number) => void = () => {},
  isFailureSlow = false,
) {
  const url = await listen(t, (_request, response) => {
    holdResponse(
      response,
      async (status) => {
        await turn()
        prepare(status)
        response.setHeader('X-Status', status)
        return [{ setCookie: 'late=1', vary: null }]
      },
      () => {
        response.statusCode = 500
        if (isFailureSlow) setTimeout(() => response.end('failed'), 20)
        else response.end('failed')
      },
    )
    answer(response)
  })
  const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) =>
    get(url, resolve).on('error', reject),
  )
  return {
    status: response.statusCode,
    message: response.statusMessage,
    headers: response.headers,
    body: (await buffer(response)).toString(),
  }
}

const ANSWERS: Readonly<Record<string, Answerer>> = {
  'end alone': (response) => {
    response.statusCode = 202
    response.end('abc')
  },
  'write and end': (response) => {
    response.statusCode = 202
    response.write('a')
    response.write(Buffer.from('b'))
    response.end('c')
  },
  'writeHead with an object': (response) => {
    response.writeHead(202, { 'X-Given': 'yes', 'Set-Cookie': ['early=1'] }).end('abc')
  },
  'writeHead with a text and a flat list': (response) => {
    response.writeHead(202, 'Fine', ['X-Given', 'yes'])
    response.end('abc')
  },
  'writeHead with a list of pairs': (response) => {
    response.writeHead(202, [['X-Given', 'yes']] as never)
    response.end('abc')
  },
  'flushHeaders first': (response) => {
    response.statusCode = 202
    response.flushHeaders()
    setTimeout(() => response.end('abc'), 20)
  },
  'a stream': (response) => {
    response.statusCode = 202
    Readable.from(['a', 'b', 'c']).pipe(response)
  },
}

for (const [name, answer] of Object.entries(ANSWERS)) {
  test(`a response by ${name} is sent whole, with the late headers`, async (t) => {
    const { status, message, headers, body } = await ask(t, answer)
    t.is(status, 202)
    t.is(body, 'abc')
    t.is(headers['x-status'], '202')
    t.true(headers['set-cookie']?.includes('late=1'))
    if (name.startsWith('writeHead')) t.is(headers['x-given'], 'yes')
    if (name.endsWith('object')) t.deepEqual(headers['set-cookie'], ['early=1', 'late=1'])
    if (name.endsWith('flat list')) t.is(message, 'Fine')
  })
}

test('a large response that is written slowly arrives whole', async (t) => {
  const size = 5_000_000
  const { body } = await ask(t, (response) => {
    Readable.from(Array.from({ length: 50 }, () => Buffer.alloc(size / 50, 'x'))).pipe(response)
  })
  t.is(body.length, size)
})

test('nothing of a response is sent when its preparation fails', async (t) => {
  for (const answer of Object.values(ANSWERS).slice(0, 5)) {
    const { status, body, headers } = await ask(t, answer, () => {
      throw new Error('the database is away')
    })
    t.is(status, 500)
    t.is(body, 'failed')
    t.false(headers['set-cookie']?.includes('late=1') ?? false)
  }
})

for (const [name, pipe] of Object.entries<(source: Readable, response: ServerResponse) => unknown>({
  pipe: (source, response) => source.pipe(response),
  pipeline: (source, response) => pipeline(source, response, () => {}),
})) {
  for (const isSlow of [false, true])
    test(`a stream by ${name} ends when the preparation fails, after the answer to that${isSlow ? ', which takes time' : ''}`, async (t) => {
      const source = new Readable({ read() {} })
      const closed = new Promise((resolve) => source.once('close', resolve))
      source.push('a')
      const { status, body } = await ask(t, (response) => pipe(source, response), failingPreparation, isSlow)
      t.deepEqual([status, body], [500, 'failed'])
      await closed
      t.true(source.destroyed)
    })
}

test('the answer to a failed preparation has the words of its own status', async (t) => {
  for (const status of [201, 302, 404, 599]) {
    const answer: Answerer = (response) => response.writeHead(status, 'The words of the handler').end()
    t.is((await ask(t, answer, failingPreparation)).message, 'Internal Server Error')
  }
})

function failingPreparation(): never {
  throw new Error('the database is away')
}

test('for its handler, a response that is held back has begun', async (t) => {
  let seen: boolean | undefined
  await ask(t, (response) => {
    t.false(response.headersSent)
    response.write('a')
    seen = response.headersSent
    response.end()
  })
  t.true(seen)
})
