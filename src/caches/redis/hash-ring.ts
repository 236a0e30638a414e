import { createHash } from 'node:crypto'

/**
 * Which of several servers has a key, for django-redis' ShardClient; `nodes` are its LOCATIONs to the letter.
 * Source: django_redis/hash_ring.py, and get_server_name in django_redis/client/sharded.py.
 */
export function createHashRing(nodes: readonly string[]): (key: string) => string {
  const ring = nodes
    .flatMap((node) => Array.from({ length: 128 }, (_, index) => [sha256(`${node}:${index}`), node] as const))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return (key) => {
    const hash = sha256(sharedPart(key) ?? key)
    const after = ring.findIndex(([place]) => place > hash)
    const [, node] = ring.at((after === -1 ? ring.length : after) - 1) ?? ['', '']
    return node
  }
}

/** What stands in the last braces of the key's first line, so that related keys can share a server. */
function sharedPart(key: string): string | null {
  const [line = ''] = key.split('\n', 1)
  const end = line.lastIndexOf('}')
  const start = line.lastIndexOf('{', end)
  return end === -1 || start === -1 ? null : line.slice(start + 1, end)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
