import type { Handle } from '@sveltejs/kit/hooks'
import knex from 'knex'
import { openDjangoSite } from 'koa-django-sessions/fetch'
import { building } from '$app/env'

const { DATABASE_URL = '', DJANGO_SECRET_KEY = '', DJANGO_VERSION = '5.2' } = process.env
// `vite build` imports this file too, where no secret has to be known.
const site = building
  ? null
  : openDjangoSite({
      db: knex({ client: 'mysql2', connection: DATABASE_URL, compileSqlOnError: false }),
      secretKeys: [DJANGO_SECRET_KEY],
      djangoVersion: DJANGO_VERSION,
      saveEveryRequest: true, // as SESSION_SAVE_EVERY_REQUEST of this Django says; its default is false
    })

/**
 * Redirects and errors that a page throws are responses when `resolve` returns, so the session is saved and its cookie set.
 * CSRF is checked here, as Django's middleware does: what an action throws is a 500 of SvelteKit, not a 403.
 */
export const handle: Handle = ({ event, resolve }) =>
  site === null
    ? resolve(event)
    : site.handle(event.request, async (django) => {
        await django.csrf.check()
        event.locals.django = django
        return resolve(event)
      })
