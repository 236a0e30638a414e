/** `npm run demo`: Node and Django at one address, on one SQLite file. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import type { Page } from 'playwright-core'
import { createVisitor, type Visitor } from './interop/visitor.ts'
import { crawl } from './service/pages/demo-crawler.ts'
import { fieldOf, logIn } from './service/pages/login-site.ts'
import { artefact, openBrowser } from './support/browser.ts'
import { djangoVersions } from './support/django.ts'
import { pythonOf } from './support/django-environments.ts'
import { execute } from './support/executables.ts'
import type { Scope } from './support/file-scope.ts'
import { projectFolder } from './support/places.ts'
import { temporaryFolder } from './support/service.ts'
import { until } from './support/until.ts'

// Serial where processes start: each test has a Node and a Django of its own, or an environment to make.
const newest = djangoVersions.at(-1) ?? ''

interface RunningDemo {
  readonly pid: number
  /** All that it has printed. */
  output(): string
  /** The address that it prints, without a path. @throws Error when it ends without one. */
  readonly url: Promise<string>
  /** The exit status, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** What Ctrl-C does in a terminal: it sends SIGINT to the whole group. */
  interrupt(): void
  /** The processes that it started, and theirs. */
  descendants(): Promise<number[]>
}

/** `npm run demo` in a checkout of its own, so that its demo file is, too. */
async function startDemo(t: Scope, env: Readonly<Record<string, string>> = {}): Promise<RunningDemo> {
  const cwd = temporaryFolder(t)
  for (const name of ['package.json', '.npmrc']) copyFileSync(join(projectFolder, name), join(cwd, name))
  for (const name of ['node_modules', 'src', 'templates', 'test', 'tools'])
    symlinkSync(join(projectFolder, name), join(cwd, name))
  // Another site's settings must not matter.
  writeFileSync(
    join(cwd, '.env'),
    'DATABASE_URL=mysql://nobody@127.0.0.1:1/none\nSESSION_COOKIE_NAME=other\n',
  )
  const { PATH, HOME, TMPDIR } = process.env
  const child = spawn('npm', ['run', 'demo'], {
    cwd,
    detached: true,
    env: { PATH, HOME, TMPDIR, PORT: '0', DEMO_PYTHON: pythonOf(newest), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const pid = child.pid ?? 0
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals)
  let hasEnded = false
  void ended.then(() => {
    hasEnded = true
  })
  const kill = (signal: NodeJS.Signals) => {
    if (hasEnded) return // Another process group may have its number by now.
    try {
      process.kill(-pid, signal)
    } catch {
      // It has ended.
    }
  }
  t.teardown(async () => {
    kill('SIGKILL')
    await ended
  })
  const url = new Promise<string>((resolve, reject) => {
    child.stdout.on('data', () => {
      const [, found] = /Open (http:\/\/[\d.:]+)\/catalog\/[\s\S]*Ctrl-C/.exec(output) ?? []
      if (found !== undefined) resolve(found)
    })
    void ended.then((end) => reject(new Error(`It ended (${end}):\n${output}`)))
  })
  url.catch(() => null)
  return {
    pid,
    output: () => output,
    url,
    ended,
    interrupt: () => kill('SIGINT'),
    descendants: () => descendantsOf(pid),
  }
}

async function descendantsOf(ancestor: number): Promise<number[]> {
  const { stdout } = await execute('ps', ['-A', '-o', 'pid=,ppid='])
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
  const found = [ancestor]
  for (const parent of found) for (const [pid = 0, ppid] of rows) if (ppid === parent) found.push(pid)
  return found.slice(1)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** The number of visits that the home page of this side shows. */
async function visits(visitor: Visitor, url: string): Promise<number> {
  const page = await (await visitor.fetch(url)).text()
  return Number(/You have visited this page (\d+) times?\./.exec(page)?.[1])
}

test.serial(
  'both sides count one visitor, a login on one is known on the other, and Ctrl-C leaves nothing',
  async (t) => {
    t.timeout(110_000)
    const demo = await startDemo(t)
    const url = await demo.url
    const visitor = createVisitor()
    const [node, django] = [`${url}/catalog/`, `${url}/django/catalog/`]
    t.deepEqual(
      [await visits(visitor, node), await visits(visitor, django), await visits(visitor, django)],
      [1, 2, 3],
    )
    t.is(await visits(visitor, node), 4)
    const served = async (page: string) =>
      /This page was served by (\w+)/.exec(await (await visitor.fetch(page)).text())?.[1]
    t.is(await served(node), 'Node')
    t.is(await served(django), 'Django')
    t.is(await served(`${url}/catalog/books/`), 'Django')
    const userOn = async (who: Visitor, page: string) =>
      /User: (?:<strong>)?(\w+)/.exec(await (await who.fetch(page)).text())?.[1]

    const login = await logIn({ url, visitor }, { username: 'member', password: 'reads-books' })
    t.is(login.status, 302)
    t.is(await userOn(visitor, django), 'member')
    t.regex(await (await visitor.fetch(`${url}/catalog/mybooks/`)).text(), /<a href="\/catalog\/book\/\d+">/)

    const staff = createVisitor()
    t.is(await visits(staff, django), 1)
    const admin = `${url}/admin/login/?next=/admin/`
    const form = {
      csrfmiddlewaretoken: fieldOf(await (await staff.fetch(admin)).text(), 'csrfmiddlewaretoken'),
      username: 'librarian',
      password: 'lends-books',
      next: '/admin/',
    }
    const answer = await staff.fetch(admin, { method: 'POST', body: new URLSearchParams(form) })
    t.deepEqual([answer.status, answer.headers.get('Location')], [302, '/admin/'])
    t.is(await userOn(staff, node), 'librarian')
    t.is(await visits(staff, node), 3)
    const page = await (await staff.fetch(`${url}/admin/catalog/book/`)).text()
    t.regex(page, /Great Expectations/)

    for (const who of [createVisitor(), visitor, staff]) {
      const pages = await crawl(who, node, { skips: (path) => /^\/(admin|accounts)\//.test(path) })
      t.true(pages.size > 50)
      for (const [path, { status }] of pages) t.is(status, 200, path)
      t.true(pages.has('/django/catalog/'))
    }

    const processes = await demo.descendants()
    t.true(processes.length >= 2)
    demo.interrupt()
    await demo.ended
    await until('Node and Django have ended', () => !processes.some(isRunning))
    await t.throwsAsync(fetch(node))
  },
)

test.serial('in a browser both home pages are one click from each other', async (t) => {
  t.timeout(110_000)
  const demo = await startDemo(t)
  const browser = await openBrowser(t)
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  const count = async (of: Page) => Number(/visited this page (\d+)/.exec(await of.innerText('body'))?.[1])
  await page.goto(`${await demo.url}/catalog/`)
  t.is(await count(page), 1)
  await page.screenshot({ path: artefact('demo-served-by-node.png'), fullPage: true })
  await page.getByRole('link', { name: 'served by Django' }).click()
  await page.getByText('This page was served by Django').waitFor()
  t.is(await count(page), 2)
  await page.reload()
  t.is(await count(page), 3)
  await page.screenshot({ path: artefact('demo-served-by-django.png'), fullPage: true })
  await page.getByRole('link', { name: 'Login' }).click()
  await page.getByText('lends-books').waitFor()
  await page.getByLabel('Username').fill('librarian')
  await page.getByLabel('Password').fill('lends-books')
  await page.keyboard.press('Enter')
  await page.getByText('This page was served by Node').waitFor()
  t.is(await count(page), 4)
  await page.getByRole('link', { name: 'Admin' }).click()
  await page.getByText('Site administration').first().waitFor()
  await page.goBack()
  await page.getByRole('link', { name: 'served by Django' }).click()
  await page.getByText('User: librarian').waitFor()
  await page.getByRole('link', { name: 'All borrowed' }).click()
  await page.getByRole('heading', { name: 'All Borrowed Books' }).waitFor()
  await page.getByRole('button', { name: 'Logout' }).click()
  await page.getByRole('heading', { name: 'Logged out' }).waitFor()
  await page.getByRole('link', { name: 'served by Django' }).click()
  await page.getByRole('link', { name: 'Login' }).waitFor()
  t.is(await count(page), 1)
})

test.serial('when Node is killed, Django ends, too; when Django ends, so does Node', async (t) => {
  t.timeout(110_000)
  for (const [victim, exitCode] of [
    ['tools/demo/main.ts', 'SIGKILL'],
    ['serve.py', 2],
  ] as const) {
    const demo = await startDemo(t)
    await demo.url
    const processes = await demo.descendants()
    const commands = await Promise.all(
      processes.map(async (pid) => {
        const { stdout } = await execute('ps', ['-p', String(pid), '-o', 'args='])
        return { pid, args: stdout.trim() }
      }),
    )
    // Not the shell between npm and Node, whose arguments have the name, too.
    const hit = commands.findLast(({ args }) => args.includes(victim))
    t.truthy(hit, commands.map(({ args }) => args).join('\n'))
    process.kill(Number(hit?.pid), 'SIGKILL') // Not 0, which is our own process group.
    const status = await demo.ended
    if (exitCode === 2) {
      t.is(status, 2)
      t.regex(demo.output(), /demo: Django ended/)
    } else t.not(status, 0)
    await until('Node and Django have ended', () => !processes.some(isRunning))
  }
})

test.serial(
  'where port 3000 is taken a free one is used; where PORT is taken the demo says so and leaves nothing',
  async (t) => {
    t.timeout(110_000)
    // If another program has it already, it is taken as well.
    const other = createServer().on('error', () => null)
    other.listen(3000, '127.0.0.1')
    t.teardown(() => other.close())
    const demo = await startDemo(t, { PORT: '' })
    t.not(new URL(await demo.url).port, '3000')
    t.regex(demo.output(), /another program has port 3000/)

    const refused = await startDemo(t, { PORT: '3000' })
    t.is(await refused.ended, 1)
    t.regex(refused.output(), /PORT: another process listens on 127\.0\.0\.1 port 3000/)
    t.deepEqual(await refused.descendants(), [])
  },
)

test.serial('Django is installed once into the cache, from a package index', async (t) => {
  t.timeout(110_000)
  const folder = temporaryFolder(t)
  const [wheels, cache] = [join(folder, 'wheels'), join(folder, 'cache')]
  mkdirSync(wheels)
  // The packages that pip would download, packed again from an environment that has them.
  await execute(pythonOf('5.2'), ['-c', PACK, wheels])
  const env = {
    DEMO_PYTHON: '',
    DEMO_CACHE: cache,
    PATH: `${pythonFolder(folder, pythonOf('5.2'))}:${process.env.PATH}`,
    PIP_NO_INDEX: '1',
    PIP_FIND_LINKS: wheels,
  }
  const first = await startDemo(t, env)
  const visitor = createVisitor()
  t.is(await visits(visitor, `${await first.url}/django/catalog/`), 1)
  t.is(await visits(visitor, `${await first.url}/catalog/`), 2)
  t.regex(first.output(), /demo: getting Django 5\.2\.19 from PyPI/)
  first.interrupt()
  await first.ended
  t.deepEqual(readdirSync(cache), ['django-5.2.19'])

  const second = await startDemo(t, { ...env, PIP_FIND_LINKS: folder })
  t.is(await visits(createVisitor(), `${await second.url}/django/catalog/`), 1)
  t.notRegex(second.output(), /getting Django/)
})

const PACK = `
import importlib.metadata, os, sys, zipfile
for name in ['Django', 'asgiref', 'sqlparse', 'typing_extensions']:
    package = importlib.metadata.distribution(name)
    wheel = '%s/%s-%s-py3-none-any.whl' % (sys.argv[1], name, package.version)
    with zipfile.ZipFile(wheel, 'w') as archive:
        for file in package.files:
            if '..' not in file.parts and not file.suffix == '.pyc' and os.path.exists(file.locate()):
                archive.write(file.locate(), str(file))
`

const failures: readonly (readonly [title: string, python: string | null, line: RegExp])[] = [
  [
    'without a Python',
    null,
    /demo: Python 3\.8 or newer is not installed as python3; install it, or set DEMO_PYTHON/,
  ],
  ['with an old Python', 'echo 3 6', /not installed as python3; python is 3\.6; install it/],
  [
    'without venv',
    'case "$1" in -c) echo 3 11;; *) echo "ensurepip is not available"; exit 1;; esac',
    /demo: python3 cannot make a virtual environment \(ensurepip is not available\); on Debian .*apt install python3-venv/,
  ],
]
for (const [title, script, line] of failures) {
  test(`${title} the demo says in one line what is missing, with exit status 2`, async (t) => {
    const folder = temporaryFolder(t)
    if (script !== null) for (const name of ['python3', 'python']) writeProgram(join(folder, name), script)
    const { status, stderr } = await runMain(t, { PATH: folder, DEMO_CACHE: join(folder, 'cache') })
    t.is(status, 2)
    t.regex(stderr, line)
    t.is(stderr.trimEnd().split('\n').length, 1)
  })
}

test.serial(
  'without a network the demo says in one line what is missing, and leaves nothing in the cache',
  async (t) => {
    t.timeout(110_000)
    const folder = temporaryFolder(t)
    const cache = join(folder, 'cache')
    const env = {
      PATH: pythonFolder(folder, pythonOf('5.2')),
      DEMO_CACHE: cache,
      PIP_INDEX_URL: 'http://127.0.0.1:1/simple',
      PIP_NO_CACHE_DIR: '1',
    }
    const { status, stdout, stderr } = await runMain(t, env)
    t.is(status, 2)
    t.regex(stdout, /demo: getting Django 5\.2\.19/)
    t.regex(
      stderr,
      /^demo: Django could not be downloaded from PyPI \(.*Django==5\.2\.19.*\); check the network, or set DEMO_PYTHON.*\n$/,
    )
    t.deepEqual(readdirSync(cache), [])
  },
)

test('a DEMO_PYTHON without Django is named, with exit status 2', async (t) => {
  const bare = writeProgram(join(temporaryFolder(t), 'bare'), 'echo No Django >&2; exit 1')
  const { status, stderr } = await runMain(t, { PATH: process.env.PATH ?? '', DEMO_PYTHON: bare })
  t.is(status, 2)
  t.regex(stderr, /^demo: \S+bare cannot import Django \(No Django\); unset DEMO_PYTHON, or .*\n$/)
})

/** The program behind `npm run demo`, to its end. */
async function runMain(
  t: Scope,
  env: Readonly<Record<string, string>>,
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [join(projectFolder, 'tools/demo/main.ts')], {
    cwd: temporaryFolder(t),
    env: { HOME: process.env.HOME, TMPDIR: process.env.TMPDIR, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const texts = [child.stdout, child.stderr].map(async (stream) =>
    (await stream.setEncoding('utf8').toArray()).join(''),
  )
  const [status] = await once(child, 'close')
  const [stdout = '', stderr = ''] = await Promise.all(texts)
  return { status, stdout, stderr }
}

/** A folder for PATH in which `python3` is this Python. */
function pythonFolder(parent: string, python: string): string {
  const folder = join(parent, 'bin')
  mkdirSync(folder)
  writeProgram(join(folder, 'python3'), `exec ${python} "$@"`)
  return folder
}

function writeProgram(file: string, script: string): string {
  writeFileSync(file, `#!/bin/sh\n${script}\n`)
  chmodSync(file, 0o755)
  return file
}
