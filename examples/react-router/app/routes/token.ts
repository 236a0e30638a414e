import type { LoaderFunctionArgs } from 'react-router'
import { django } from '../django.server.ts'

export const loader = ({ context }: LoaderFunctionArgs) => Response.json(context.get(django).csrf.getToken())
