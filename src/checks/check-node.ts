/** The first import of each way into the package: on an older Node the others fail in other words, or crash. */
import { nodeProblem } from './node-version.ts'

const problem = nodeProblem()
if (problem !== null) throw new Error(problem)
