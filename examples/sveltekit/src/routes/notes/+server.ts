import { json, redirect } from '@sveltejs/kit'
import type { RequestHandler } from './$types.d.ts'

export const POST: RequestHandler = async ({ locals: { django } }) => {
  django.messages.success((await django.form()).get('text') ?? '')
  redirect(303, '/notes')
}

export const GET: RequestHandler = async ({ locals: { django } }) =>
  json((await django.messages.take()).map(({ text }) => text))
