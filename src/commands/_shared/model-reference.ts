import { resolve } from 'node:path'
import { isModelPath } from '../../daemon/models/names.js'

/** A model's name as it is, or its path in full: the daemon has another current directory. */
export function modelReference(nameOrPath: string): string {
  return isModelPath(nameOrPath) ? resolve(nameOrPath) : nameOrPath
}
