import config from './ava.config.js'

/** What `npm run test:examples` runs: programs that are installed and built first. */
export default { ...config, files: ['test/examples/*.test.ts'] }
