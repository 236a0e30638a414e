import { json } from '@sveltejs/kit'
import type { RequestHandler } from './$types.d.ts'

export const GET: RequestHandler = ({ locals: { django } }) => json(django.csrf.getToken())
