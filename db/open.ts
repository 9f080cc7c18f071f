/** Opens the store at an address, on whichever engine that names. */
import { isPostgres } from './postgres/connection.ts'
import { openPostgresStore } from './postgres/store.ts'
import { openSqliteStore } from './sqlite/store.ts'
import type { Store, StoreOptions } from './store.ts'

/**
 * Opens the database at `url` (a `postgres://` address, the path of an SQLite file, or `:memory:`) and migrates it.
 * @throws an Error of one line where that cannot be done
 */
export const openStore = (url: string, options: StoreOptions): Promise<Store> =>
  isPostgres(url) ? openPostgresStore(url, options) : openSqliteStore(url, options)
