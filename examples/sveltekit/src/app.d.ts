import type { DjangoExchange } from 'koa-django-sessions/fetch'

declare global {
  namespace App {
    interface Locals {
      django: DjangoExchange
    }
  }
}
