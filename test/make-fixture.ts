/**
 * Makes the fixture of the newest migration, `bun run db:fixture`: a database as this release leaves it, with two
 * texts, a code at rest, and a pool of a hundred codes for its size. A fixture is made once, and never again.
 */
import { Database } from 'bun:sqlite'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { migrations } from '../db/migrations/index.ts'
import { openStore } from '../db/open.ts'
import type { NewText } from '../db/store.ts'
import { hashPassword } from '../password.ts'

const T = Date.UTC(2030, 0, 1)
const fixture = join(import.meta.dir, 'fixtures', `${migrations.at(-1)?.name}.db.gz`)
if (existsSync(fixture)) throw new Error(`${fixture} exists already: it stays as the release made it.`)

const hash = (token: string) => new Bun.CryptoHasher('sha256').update(token).digest() as Buffer
const plain: NewText = {
  body: 'plain 부엌',
  passwordHash: null,
  seal: null,
  once: false,
  eraseTokenHash: hash('token'),
  expiresAt: T + 1e9,
  writer: 4711,
  receiveTokenHash: null,
  publicKey: null,
}
const secret: NewText = {
  ...plain,
  body: 'secret',
  passwordHash: await hashPassword('password', '192.0.2.1'),
  once: true,
}

const home = mkdtempSync(join(tmpdir(), 'extextcloud-fixture-'))
try {
  const path = join(home, 'fixture.db')
  const store = await openStore(path, { codeRestSeconds: 86_400, maxTexts: 1e9, maxStoredBytes: 1e9 })
  using shell = new Database(path)
  const free = shell.query('INSERT INTO code (code) VALUES (?)')
  shell.run('DELETE FROM code')
  // Each is the only free code when a text is written.
  for (const [code, text] of Object.entries({ aaaa: plain, ZZZZ: secret, aaac: plain })) {
    free.run(code)
    await store.write(text, T - 1000)
  }
  await store.erase('aaac', plain.eraseTokenHash, T)
  for (let at = 3; at < 100; at++) free.run(`aa${String.fromCharCode(65 + (at >> 4), 65 + (at & 15))}`)
  shell.run('VACUUM')
  shell.run('PRAGMA wal_checkpoint(TRUNCATE)')
  await store.close()
  await Bun.write(fixture, Bun.gzipSync(await Bun.file(path).bytes()))
} finally {
  rmSync(home, { recursive: true, force: true })
}
