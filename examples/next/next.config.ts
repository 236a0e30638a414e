import type { NextConfig } from 'next'

export default {
  // These load their drivers when they need them, so they are not bundled.
  serverExternalPackages: ['koa-django-sessions', 'knex'],
  turbopack: { root: import.meta.dirname },
} satisfies NextConfig
