/** Reads the SQL of a folder of migrations, so that a compiled server carries it in itself: this runs as a macro. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** @param folder within `db/` */
export function readSqlFiles(folder: string): Record<string, string> {
  const path = join(import.meta.dir, '..', folder)
  const names = readdirSync(path).filter((name) => name.endsWith('.sql'))
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(path, name), 'utf8')]))
}
