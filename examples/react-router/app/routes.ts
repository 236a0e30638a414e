import { type RouteConfig, route } from '@react-router/dev/routes'

const names = ['visit', 'missing', 'redirect', 'fail', 'token', 'login', 'notes', 'stream', 'page']

export default names.map((name) =>
  route(name, `routes/${name}.${['page', 'missing', 'fail'].includes(name) ? 'tsx' : 'ts'}`),
) satisfies RouteConfig
