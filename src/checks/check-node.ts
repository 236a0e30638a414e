/** The first import of each entry point of the package: on an older Node, the other imports fail unclearly, or crash. */
import { nodeProblem } from './node-version.ts'

const problem = nodeProblem()
if (problem !== null) throw new Error(problem)
