import { AppError } from '../errors.js'

/**
 * @param version what `select version()` answers
 * @throws DATABASE.VERSION_UNSUPPORTED for MySQL before 8.0 and MariaDB before 10.11
 */
export function assertSupported(version: string): void {
  const isMariaDb = /mariadb/i.test(version)
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  const supported = isMariaDb ? major > 10 || (major === 10 && minor >= 11) : major >= 8
  if (!supported) throw new AppError('DATABASE.VERSION_UNSUPPORTED', version)
}
