/** express with http-proxy-middleware, which opens a connection for each request unless it gets an agent. */
import type { AddressInfo } from 'node:net'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'

const app = express()
app.use(createProxyMiddleware({ target: process.env.UPSTREAM ?? '', xfwd: true }))
const server = app.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
