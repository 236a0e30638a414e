import type { Frame } from '../../src/service/pages/layout.ts'

/** A frame for tests of single parts. */
export const testFrame: Frame = {
  links: {
    home: '/catalog/',
    books: '/catalog/books/',
    authors: '/catalog/authors/',
    myBorrowed: '/catalog/mybooks/',
    allBorrowed: '/catalog/borrowed/',
    admin: '/admin/',
    login: '/accounts/login/',
    logout: '/accounts/logout/',
  },
  user: undefined,
  next: '/catalog/',
  messages: [],
}

export const bareFrame = (): Frame => testFrame
