import type { Layout } from '../../src/service/pages/layout.ts'

/** A layout for tests of single parts. */
export const testLayout: Layout = {
  links: {
    home: '/catalog/',
    books: '/catalog/books/',
    authors: '/catalog/authors/',
    myBorrowed: '/catalog/mybooks/',
    allBorrowed: '/catalog/borrowed/',
    admin: '/admin/',
    djangoHome: null,
    login: '/accounts/login/',
    logout: '/accounts/logout/',
  },
  user: undefined,
  next: '/catalog/',
  messages: [],
}

export const bareLayout = (): Layout => testLayout
