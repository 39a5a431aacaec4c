type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * JSON Merge Patch (RFC 7396, section 2) for a field that is an object: null removes, objects merge, all else
 * replaces. Null for the field itself clears it; undefined leaves it alone.
 */
export function patchedField(target: Json, patch: Json | null | undefined): Json {
  if (patch === undefined) return target
  return patch === null ? {} : mergePatch(target, patch)
}

function mergePatch(target: Json, patch: Json): Json {
  // a Map, because assigning `__proto__` to an object sets its prototype
  const merged = new Map(Object.entries(target))
  for (const [name, value] of Object.entries(patch)) {
    const own = merged.get(name)
    if (value === null) merged.delete(name)
    else if (isObject(value)) merged.set(name, mergePatch(isObject(own) ? own : {}, value))
    else merged.set(name, value)
  }
  return Object.fromEntries(merged)
}
