/**
 * Node's `http`. An `import` would read each of its exports, and one of them, WebSocket, loads all of undici, which is
 * 5 % of the CPU time of a start.
 */
export const http: typeof import('node:http') = process.getBuiltinModule('node:http')
