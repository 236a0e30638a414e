/** The same page behind proxy.ts. */
export { default } from '../page/page.tsx'
