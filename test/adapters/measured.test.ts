import test from 'ava'
import { fileScope } from '../support/file-scope.ts'
import { replay } from './koa/measured-requests.ts'
import { adapters, serveBy } from './sites.ts'

const file = fileScope(test)

for (const [name, adapter] of Object.entries(adapters)) {
  for (const version of ['2.2', '4.2', '6.1'])
    replay(version, 'sqlite', { file, serve: serveBy(adapter), name: `${name}: ` })
}
