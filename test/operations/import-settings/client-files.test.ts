import test from 'ava'
import {
  readOptionFile,
  readPasswordFile,
  readServiceFile,
} from '../../../src/operations/import-settings/client-files.ts'

test("an option file of MySQL's client is read: groups, quotes, comments and escapes", (t) => {
  const file = `
# a comment
; another
[mysqld]
port = 1
[client]
host=db.example.com
  user = site   # who
password = "p#a'ss"
socket = '/run/my\\ssql.sock'
ssl-ca = /etc/ca.pem
default_character_set = utf8mb4
quick
[mysql]
host = other
`
  t.deepEqual(
    [...readOptionFile(file, 'client')],
    [
      ['host', 'db.example.com'],
      ['user', 'site'],
      ['password', "p#a'ss"],
      ['socket', '/run/my sql.sock'],
      ['ssl_ca', '/etc/ca.pem'],
      ['default_character_set', 'utf8mb4'],
      ['quick', ''],
    ],
  )
})

test('the parameters of one service are read, and a missing service is null', (t) => {
  const file = '# of the site\n[one]\nhost=a\n\n[two]\nhost=b\n# port=1\npassword=p=w\n[three]\nhost=c\n'
  t.deepEqual(
    [...(readServiceFile(file, 'two') ?? [])],
    [
      ['host', 'b'],
      ['password', 'p=w'],
    ],
  )
  t.is(readServiceFile(file, 'four'), null)
})

const wanted = { host: 'db', port: '5432', database: 'library', user: 'site' }

for (const [name, file, password] of [
  ['the first line that fits', 'db:5432:library:site:first\ndb:5432:library:site:second', 'first'],
  ['wild cards', '#db:*:*:*:comment\nother:*:*:*:no\n*:*:*:site:yes', 'yes'],
  ['colons and backslashes that are escaped', 'db:5432:library:site:a\\:b\\\\c', 'a:b\\c'],
  ['no line that fits', 'db:5433:library:site:no', null],
] as const) {
  test(`a password file: ${name}`, (t) => t.is(readPasswordFile(file, wanted), password))
}

test('a password file: a socket is localhost', (t) => {
  const socket = { ...wanted, host: '/var/run/postgresql' }
  t.is(readPasswordFile('localhost:5432:library:site:yes', socket), 'yes')
})
