/** fastify and @fastify/session with the store of connect-redis; other statements through mysql2. */
import { RedisStore } from 'connect-redis'
import { createClient } from 'redis'
import { serveByFastify } from './fastify-site.ts'
import { count } from './mysql2-pool.ts'
import { redisUrl } from './site.ts'

const store = new RedisStore({ client: await createClient({ url: redisUrl }).connect() })
await serveByFastify(store, count)
