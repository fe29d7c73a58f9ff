import type { z } from 'zod'

type Path = readonly PropertyKey[]

/**
 * One sentence about the first thing that is wrong with a request: the field, what is allowed, and the value.
 * @param knownFields the names of the fields of an object within the request, for objects that refuse others
 */
export function explainIssue(
  error: z.ZodError,
  value: unknown,
  knownFields: (path: Path) => readonly string[],
): string {
  const [issue] = error.issues
  if (issue.code === 'unrecognized_keys') {
    const where = issue.path.length === 0 ? 'The request' : nameOf(issue.path)
    return `${where} has the unknown field "${issue.keys[0]}"; known are ${knownFields(issue.path).join(', ')}.`
  }
  if (issue.path.length === 0 || !isRecord(value)) return 'The request must be a JSON object with at least a prompt.'
  const given = valueAt(value, issue.path)
  const ending = given === undefined ? ', but it is missing' : `, not ${describeValue(given)}`
  // What zod says itself, for a list entry that is no object, has no verb of ours.
  const message = issue.message.startsWith('must') ? issue.message : 'must be an object with its settings'
  return `${nameOf(issue.path)} ${message}${ending}.`
}

/** `controls[0].scale` */
function nameOf(path: Path): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === 'number') return `${name}[${key}]`
    return name === '' ? String(key) : `${name}.${String(key)}`
  }, '')
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, key) => {
    return typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined
  }, value)
}

/** Pictures are texts of megabytes: only the beginning is shown, and only that is turned into JSON. */
function describeValue(value: unknown): string {
  const json = typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : JSON.stringify(value)
  return json.length > 80 ? `${json.slice(0, 77)}…` : json
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
