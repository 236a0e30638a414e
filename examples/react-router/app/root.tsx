import { Outlet, Scripts } from 'react-router'
import { djangoMiddleware } from './django.server.ts'

export const middleware = [djangoMiddleware]

export default function Root() {
  return (
    <html lang="en">
      <body>
        <Outlet />
        <Scripts />
      </body>
    </html>
  )
}
