/**
 * Node's `http`. An `import` of it would ask for every one of its exports, and one of them, WebSocket, loads all of
 * undici: a twentieth of what a start costs.
 */
export const http: typeof import('node:http') = process.getBuiltinModule('node:http')
