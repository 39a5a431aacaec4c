type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** JSON Merge Patch (RFC 7396, section 2): null removes, objects merge, all else replaces. */
export function mergePatch(target: Json, patch: Json): Json {
  const merged: Record<string, unknown> = { ...target }
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name]
    else if (isObject(value)) {
      const own = Object.hasOwn(merged, name) ? merged[name] : undefined
      merged[name] = mergePatch(isObject(own) ? own : {}, value)
    } else merged[name] = value
  }
  return merged
}
