type Route = { readonly method: string; readonly path: string }

/** The methods that some route has for a path, where another method was asked for. */
export function allowedMethods(routes: readonly Route[], path: string): string[] {
  const methods = routes
    .filter(({ method, path: pattern }) => method !== 'ALL' && matches(pattern, path))
    .map(({ method }) => method)
  return [...new Set(methods)].sort()
}

/** Our patterns are made of fixed words and `:names`. */
function matches(pattern: string, path: string): boolean {
  const [wanted, given] = [pattern.split('/'), path.split('/')]
  return (
    wanted.length === given.length &&
    wanted.every(
      (word, index) => word === given[index] || (word.startsWith(':') && given[index] !== ''),
    )
  )
}
