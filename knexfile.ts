import type { Knex } from 'knex'
import { knexConfig } from './src/service/database/open-database.ts'
import { readSettings } from './src/service/settings/settings.ts'

const config: Knex.Config = {
  ...knexConfig(readSettings(process.env).database),
  migrations: {
    // Even to say which version there is, Knex would first make tables of its own.
    get tableName(): string {
      throw new Error('Django owns this schema, and migrates it: run `manage.py migrate` there')
    },
  },
}

/** The service's own database, for the knex command. */
export default config
