import { type NextRequest, NextResponse } from 'next/server'
import { site } from './site.ts'

export const config = { matcher: '/renewed' }

/** What the server component cannot do: it renews the session and its cookie, for `saveEveryRequest`. */
export const proxy = (request: NextRequest) => site().handle(request, () => NextResponse.next())
