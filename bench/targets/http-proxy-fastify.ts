/** fastify with @fastify/http-proxy, which passes everything on over undici's kept connections. */
import type { AddressInfo } from 'node:net'
import httpProxy from '@fastify/http-proxy'
import fastify from 'fastify'

const app = fastify()
await app.register(httpProxy, { upstream: process.env.UPSTREAM ?? '' })
await app.listen({ host: '127.0.0.1', port: 0 })
const address = app.server.address() as AddressInfo
console.log(address.port)
