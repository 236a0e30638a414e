import test from 'ava'
import { limitTime } from '../../../src/service/server/time-limit.ts'
import { startLibrary } from '../../support/library.ts'

test('a page that is not ready in time is a 503 with Retry-After', async (t) => {
  const late = Promise.withResolvers<void>()
  const { url, log } = await startLibrary(t, {
    app: () => ({
      sessionMiddleware: limitTime(
        async (ctx) => {
          await late.promise
          ctx.append('Set-Cookie', 'sessionid=late')
          ctx.body = 'late'
        },
        { timeout: 50 },
      ),
    }),
  })
  const response = await fetch(`${url}/catalog/`)
  late.resolve()
  t.is(response.status, 503)
  t.true(Number(response.headers.get('Retry-After')) > 0)
  t.is(response.headers.get('Set-Cookie'), null)
  t.regex(await response.text(), /Back in a moment/)
  t.is((await log.next('http.failure')).code, 'ERR_REQUEST_TIMEOUT')
})

test('a page that is ready in time is unchanged, and so is an error that it throws', async (t) => {
  const { url } = await startLibrary(t, {
    app: () => ({
      sessionMiddleware: limitTime(
        async (ctx) => {
          if (ctx.query.fail !== undefined) ctx.throw(418)
          ctx.body = 'in time'
        },
        { timeout: 60_000 },
      ),
    }),
  })
  t.is(await (await fetch(`${url}/catalog/`)).text(), 'in time')
  t.is((await fetch(`${url}/catalog/?fail`)).status, 418)
})
