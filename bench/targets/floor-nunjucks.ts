/** The floor with its page rendered by Nunjucks. */
import { mysqlParts, serveFloor } from './floor-server.ts'
import { createPage } from './site.ts'

serveFloor(mysqlParts(), createPage())
