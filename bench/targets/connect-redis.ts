/** express, express-session and connect-redis; other statements through mysql2. */
import { RedisStore } from 'connect-redis'
import { createClient } from 'redis'
import { serveByExpress } from './express-site.ts'
import { count } from './mysql2-pool.ts'
import { countAll, redisUrl } from './site.ts'

const store = new RedisStore({ client: await createClient({ url: redisUrl }).connect() })
serveByExpress(store, () => countAll(count))
