import { mysqlParts, pageByHand, serveFloor } from './floor-server.ts'

serveFloor(mysqlParts(), pageByHand())
