import { readControllers } from './controllers.js'

/**
 * The program of the child process that looks for GPUs, since the programs that tell of them may hang: prints them as one line
 * of JSON.
 */
process.stdout.write(`${JSON.stringify(await readControllers())}\n`, () => process.exit(0))
