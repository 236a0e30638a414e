import { fileURLToPath } from 'node:url'

/** The project's folder. */
export const projectFolder: string = fileURLToPath(new URL('../..', import.meta.url))

/** What a run prepares and the next one finds again; git ignores it. */
export const cacheFolder: string = fileURLToPath(new URL('../../.cache', import.meta.url))

/** The LocalLibrary-shaped Django project. */
export const siteFolder: string = fileURLToPath(new URL('../django-site', import.meta.url))

/** Whether this run must have everything: each server, each Django, the browser. */
export const inCi: boolean = !['', '0', 'false'].includes(process.env.CI ?? '')
