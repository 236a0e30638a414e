import { readFileSync } from 'node:fs'
import test from 'ava'
import { createPasswords, type PasswordRefusal, PasswordsBusy } from '../../src/django/passwords.ts'
import { type HashingCost, versionProfile } from '../../src/django/versions.ts'

/** Recorded from real Django by passwords.py. */
const vectors = JSON.parse(readFileSync(new URL('../vectors/passwords.json', import.meta.url), 'utf8')) as {
  versions: string[]
  hashes: { django: string; hasher: string; password: string; cost: 'own' | 'least'; encoded: string }[]
  damaged: { encoded: string; password: string; outcomes: (boolean | string)[] }[]
}

const HASHERS = [
  'PBKDF2PasswordHasher',
  'PBKDF2SHA1PasswordHasher',
  'Argon2PasswordHasher',
  'BCryptSHA256PasswordHasher',
  'BCryptPasswordHasher',
  'ScryptPasswordHasher',
].map((name) => `django.contrib.auth.hashers.${name}`)

/** Low cost, for tests that are not about the cost. */
const CHEAP: HashingCost = {
  pbkdf2Iterations: 7,
  argon2: { timeCost: 1, memoryCost: 64, parallelism: 1 },
  scrypt: { N: 16, r: 8, p: 1 },
  bcryptRounds: 4,
}

const cheaply = (version: string, hashers: readonly string[] = HASHERS) =>
  createPasswords({ profile: { ...versionProfile(version), hashingCost: CHEAP }, hashers })

for (const django of vectors.versions) {
  for (const hasher of new Set(vectors.hashes.map((one) => one.hasher))) {
    const hashes = vectors.hashes.filter((one) => one.django === django && one.hasher === hasher)
    if (hashes.length === 0) continue // before Django had it
    test(`a hash by ${hasher} of Django ${django} matches its password and no other`, async (t) => {
      const passwords = cheaply(django)
      for (const { password, cost, encoded } of hashes) {
        t.deepEqual(await passwords.check(password, encoded), { isCorrect: true, refusal: null }, encoded)
        if (cost === 'own') continue
        const others = [`${password.slice(0, -1)}.`, password.toUpperCase(), '']
        for (const other of others.filter((one) => one !== password))
          t.deepEqual(await passwords.check(other, encoded), { isCorrect: false, refusal: null }, encoded)
      }
    })
  }
}

test('the vectors contain every hasher of every version', (t) => {
  for (const version of vectors.versions) {
    const { passwordHashers } = versionProfile(version)
    for (const hasher of passwordHashers)
      t.true(
        vectors.hashes.some((one) => one.django === version && one.hasher === hasher && one.cost === 'own'),
      )
  }
})

for (const [at, version] of vectors.versions.entries()) {
  test(`a damaged hash gives the same result as in Django ${version}, and never an error`, async (t) => {
    const isOld = version.startsWith('2.2') || version.startsWith('3.2')
    const passwords = cheaply(version, isOld ? HASHERS.slice(0, -1) : HASHERS)
    for (const { encoded, password, outcomes } of vectors.damaged) {
      // Django 2.2 writes argon2i, and reads only that.
      const expected = outcomes[at] === true || (version.startsWith('2.2') && outcomes[1] === true)
      t.is((await passwords.check(password, encoded)).isCorrect, expected, encoded)
    }
  })
}

/** Stored texts that are refused, with the reason. */
const REFUSALS: readonly [encoded: string, refusal: PasswordRefusal][] = [
  ['', { reason: 'empty', algorithm: '' }],
  ['!', { reason: 'unusable', algorithm: '' }],
  ['!pbkdf2_sha256$7$salt$aGFzaA==', { reason: 'unusable', algorithm: '' }],
  ['md5$salt$0123456789abcdef0123456789abcdef', { reason: 'unknown algorithm', algorithm: 'md5' }],
  ['0123456789abcdef0123456789abcdef', { reason: 'unknown algorithm', algorithm: 'unsalted_md5' }],
  ['md5$$0123456789abcdef0123456789abcdef', { reason: 'unknown algorithm', algorithm: 'unsalted_md5' }],
  [`sha1$$${'0'.repeat(40)}`, { reason: 'unknown algorithm', algorithm: 'unsalted_sha1' }],
  ['sha1$salt$0123', { reason: 'unknown algorithm', algorithm: 'sha1' }],
  ['crypt$$abc', { reason: 'unknown algorithm', algorithm: 'crypt' }],
  ['pbkdf2_sha512$7$salt$aGFzaA==', { reason: 'unknown algorithm', algorithm: 'pbkdf2_sha512' }],
  ['hunter2', { reason: 'unknown algorithm', algorithm: '' }],
  ['hunter2$ is my password', { reason: 'unknown algorithm', algorithm: '' }],
  ['scrypt$16$salt$8$1$aGFzaA==', { reason: 'not in PASSWORD_HASHERS', algorithm: 'scrypt' }],
  ['pbkdf2_sha256$seven$salt$aGFzaA==', { reason: 'malformed', algorithm: 'pbkdf2_sha256' }],
  ['pbkdf2_sha256$99999999$salt$aGFzaA==', { reason: 'too costly', algorithm: 'pbkdf2_sha256' }],
  ['pbkdf2_sha1$4294967297$salt$aGFzaA==', { reason: 'too costly', algorithm: 'pbkdf2_sha1' }],
  [`bcrypt_sha256$$2b$31$${'a'.repeat(53)}`, { reason: 'too costly', algorithm: 'bcrypt_sha256' }],
  [`bcrypt_sha256$$2x$04$${'a'.repeat(53)}`, { reason: 'malformed', algorithm: 'bcrypt_sha256' }],
  [
    'argon2$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g',
    { reason: 'too costly', algorithm: 'argon2' },
  ],
  [
    'argon2$argon2id$v=19$m=1024,t=999999,p=1$c29tZXNhbHQ$aGFzaGhhc2g',
    { reason: 'too costly', algorithm: 'argon2' },
  ],
  [
    'argon2$argon2id$v=19$m=102400,t=2,p=9999$c29tZXNhbHQ$aGFzaGhhc2g',
    { reason: 'too costly', algorithm: 'argon2' },
  ],
]

for (const [encoded, refusal] of REFUSALS) {
  test(`refused with its reason: ${encoded.slice(0, 40)}…`, async (t) => {
    const passwords = cheaply('5.2', HASHERS.slice(0, 5))
    t.deepEqual(await passwords.check('x', encoded), { isCorrect: false, refusal })
    t.deepEqual(passwords.refusalOf(encoded), refusal, 'without a check')
  })
}

test('scrypt with an excessive cost, or one that is not a power of two, is refused', async (t) => {
  const passwords = cheaply('5.2')
  const reason = async (encoded: string) => (await passwords.check('x', encoded)).refusal?.reason
  t.is(await reason('scrypt$1073741824$salt$8$1$aGFzaA=='), 'too costly')
  t.is(await reason('scrypt$16384$salt$8$99999$aGFzaA=='), 'too costly')
  t.is(await reason('scrypt$16384$salt$9999999$1$aGFzaA=='), 'too costly')
  t.is(await reason('scrypt$16385$salt$8$1$aGFzaA=='), 'malformed')
})

test('argon2 with parameters that its library rejects does not match or is refused, without a crash', async (t) => {
  const passwords = cheaply('5.2')
  for (const parameters of ['m=8,t=1,p=8', 'm=1,t=1,p=1']) {
    const check = passwords.check('x', `argon2$argon2id$v=19$${parameters}$c29tZXNhbHQ$aGFzaGhhc2g`)
    t.is((await check).isCorrect, false)
  }
})

/** CPU seconds of this process, including its threads. */
async function cpuOf(run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage()
  await run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

test.serial(
  'a user who does not exist, or whose hash is not verified, costs the work of one who does',
  async (t) => {
    const passwords = createPasswords({ profile: versionProfile('4.2') })
    const own = vectors.hashes.find(
      ({ django, hasher }) => django.startsWith('4.2') && hasher === 'PBKDF2PasswordHasher',
    )
    const cheap = vectors.hashes.find(
      ({ hasher, cost }) => hasher === 'PBKDF2PasswordHasher' && cost === 'least',
    )
    const real = await cpuOf(() => passwords.check('wrong', own?.encoded ?? ''))
    for (const [name, run] of Object.entries({
      missing: () => passwords.simulateCheck('wrong'),
      unusable: () => passwords.check('wrong', '!'),
      unknown: () => passwords.check('wrong', 'md5$salt$0123456789abcdef0123456789abcdef'),
      older: () => passwords.check('wrong', cheap?.encoded ?? ''),
    })) {
      const cpu = await cpuOf(run)
      t.log(`${name}: ${cpu.toFixed(3)} s of CPU; a real one: ${real.toFixed(3)} s`)
      t.true(cpu > real / 3 && cpu < real * 3, name)
    }
  },
)

for (const hasher of HASHERS) {
  test.serial(
    `the first of PASSWORD_HASHERS is what a user who does not exist costs: ${hasher}`,
    async (t) => {
      const passwords = createPasswords({ profile: versionProfile('4.2'), hashers: [hasher] })
      t.true((await cpuOf(() => passwords.simulateCheck('wrong'))) > 0.01)
    },
  )
}

test.serial('the event loop is not blocked while passwords are checked', async (t) => {
  const passwords = createPasswords({ profile: versionProfile('5.2'), hashers: HASHERS })
  for (const { encoded } of vectors.hashes.filter(
    ({ django, cost }) => django.startsWith('5.2') && cost === 'own',
  )) {
    let ticks = 0
    const timer = setInterval(() => {
      ticks += 1
    }, 1)
    await passwords.check('wrong', encoded)
    clearInterval(timer)
    t.true(ticks > 5, encoded.slice(0, 12))
  }
})

test('checks beyond the concurrency wait, and checks beyond the queue are refused', async (t) => {
  const passwords = createPasswords({
    profile: { ...versionProfile('5.2'), hashingCost: { ...CHEAP, pbkdf2Iterations: 20_000 } },
    concurrency: 2,
  })
  const outcomes = await Promise.allSettled(Array.from({ length: 60 }, () => passwords.simulateCheck('x')))
  const refused = outcomes.filter(({ status }) => status === 'rejected')
  t.is(refused.length, 8)
  for (const one of refused) t.true('reason' in one && one.reason instanceof PasswordsBusy)
  await t.notThrowsAsync(passwords.simulateCheck('x'))
})
