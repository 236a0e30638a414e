import { createHash } from 'node:crypto'

/**
 * Returns a function that returns the server of a key, as the ShardClient of django-redis does. `nodes` are the LOCATIONs,
 * exactly as written in settings.py, since their text is hashed.
 * Source: django_redis/hash_ring.py, and get_server_name in django_redis/client/sharded.py.
 */
export function createHashRing(nodes: readonly string[]): (key: string) => string {
  const ring = nodes
    .flatMap((node) => Array.from({ length: 128 }, (_, index) => [sha256(`${node}:${index}`), node] as const))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return (key) => {
    const hash = sha256(hashTag(key) ?? key)
    const after = ring.findIndex(([position]) => position > hash)
    const [, node] = ring.at((after === -1 ? ring.length : after) - 1) ?? ['', '']
    return node
  }
}

/** Returns the text in the last braces of the key's first line: keys with the same text share a server. */
function hashTag(key: string): string | null {
  const [line = ''] = key.split('\n', 1)
  const end = line.lastIndexOf('}')
  const start = line.lastIndexOf('{', end)
  return end === -1 || start === -1 ? null : line.slice(start + 1, end)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
