import { userInfo } from 'node:os'
import { join } from 'node:path'
import { type CacheServer, serverFolder, startCacheServer } from './cache-server.ts'
import { freePort } from './free-port.ts'

export interface MemcachedOptions {
  /** On a Unix socket instead of a port; `location` is `unix:/…/socket` then. */
  onSocket?: boolean
  /** memcached's own, e.g. `['-I', '2m']`. */
  extraArguments?: readonly string[]
}

/** Starts memcached with 64 MB. @throws Error when it is not installed. */
export async function startMemcached({
  onSocket = false,
  extraArguments = [],
}: MemcachedOptions = {}): Promise<CacheServer> {
  const folder = serverFolder('memcached')
  const socket = join(folder, 'socket')
  const port = onSocket ? 0 : await freePort()
  const address = onSocket ? ['-s', socket] : ['-l', '127.0.0.1', '-p', String(port), '-U', '0']
  const asRoot = process.getuid?.() === 0 ? ['-u', userInfo().username] : []
  return startCacheServer(
    {
      name: 'memcached',
      port,
      ...(onSocket && { socket }),
      location: onSocket ? `unix:${socket}` : `127.0.0.1:${port}`,
      args: () => [...address, '-m', '64', ...asRoot, ...extraArguments],
    },
    folder,
  )
}
