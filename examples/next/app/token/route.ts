import { django } from '../../site.ts'

export const GET = django(({ csrf }) => Response.json(csrf.getToken()))
