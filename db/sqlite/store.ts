/** The store on SQLite: what becomes of texts and codes there. */
import type { SQLQueryBindings } from 'bun:sqlite'
import { isUtf8 } from 'node:buffer'
import {
  and,
  Column,
  eq,
  getTableColumns,
  gt,
  isNotNull,
  lte,
  or,
  type Placeholder,
  type SQL,
  sql,
  type Table,
} from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { Refusal } from '../../errors.ts'
import { upgrade } from '../migrate.ts'
import { createReceipts, KEPT_RECEIPTS } from '../receipts.ts'
import { lackOf, noRoom, roomOf, tooManyWait } from '../room.ts'
import * as schema from '../schema.ts'
import { type LentText, type Receipt, randomCode, type Store, type StoreOptions } from '../store.ts'
import { createTransactions, TURN } from './commit.ts'
import { openLocked } from './connection.ts'
import { watchDamage } from './damage.ts'
import { damageError } from './errors.ts'
import { createRemains } from './remains.ts'
import { createStored } from './stored.ts'

/** Receipts that are stored in one turn of the event loop. */
const RECEIPTS_AT_ONCE = 200

/** A placeholder for each column of a table, of the column's name. */
const placeholders = <T extends Table>(table: T) =>
  Object.fromEntries(Object.keys(getTableColumns(table)).map((column) => [column, sql.placeholder(column)])) as {
    [Column in keyof T['$inferSelect'] & string]: Placeholder<Column>
  }

/**
 * Opens the database at `path` (a file, or `:memory:`), migrates it, and keeps other servers out of it.
 * @throws an Error of one line where another process has the file, or a newer release has made it
 */
export async function openSqliteStore(path: string, options: StoreOptions): Promise<Store> {
  const { codeRestSeconds, say = () => {} } = options
  const room = roomOf(options)
  const { sqlite, unlock } = await openLocked(path, (database) => upgrade(database, say))
  const db = drizzle(sqlite, { casing: 'snake_case' })
  const { code, receipt, text } = schema

  const now = sql.placeholder('now')
  const returned = {
    code: text.code,
    writer: text.writer,
    bytes: sql<number>`octet_length(${text.body})`,
    isReceiving: sql<boolean>`${text.receiveTokenHash} IS NOT NULL`,
    eraseTokenHash: text.eraseTokenHash,
    expiresAt: text.expiresAt,
  }
  const texts = (where: SQL | undefined) => db.delete(text).where(where).returning(returned).prepare()

  /**
   * A statement of Drizzle's, run without it: it maps rows, and fills in values, column by column, which takes longer than
   * reading one. Values come in the order of the statement, and rows as it names them.
   */
  const direct = <Row, Values extends SQLQueryBindings[]>(statement: { toSQL(): { sql: string } }) =>
    sqlite.query<Row, Values>(statement.toSQL().sql)

  const columns = Object.entries(getTableColumns(text))
  const decoded = columns.filter(([, column]) => column.mapFromDriverValue !== Column.prototype.mapFromDriverValue)
  const reading = (where: SQL) => {
    const named = Object.fromEntries(columns.map(([name, column]) => [name, sql`${column}`.as(name)]))
    const row = direct<Record<string, unknown>, [string]>(db.select(named).from(text).where(where))
    const bytes = db
      .select({ body: sql<Buffer>`CAST(${text.body} AS BLOB)` })
      .from(text)
      .where(where)
      .prepare()
    return (code: string): LentText | undefined => {
      const values = row.get(code)
      if (!values) return undefined
      for (const [name, column] of decoded) {
        if (values[name] !== null) values[name] = column.mapFromDriverValue(values[name])
      }
      const found = values as LentText
      // This letter also stands for bytes that are not UTF-8, which nobody has written.
      if (found.body.includes('\ufffd') && !isUtf8(bytes.get({ code })?.body ?? Buffer.alloc(0))) {
        throw damageError('a row of the table text, which is not UTF-8')
      }
      return found
    }
  }
  const findText = reading(eq(text.code, sql.placeholder('code')))
  /** Reads the whole table: the sign keeps SQLite from its index. */
  const searchText = reading(sql`+${text.code} = ${sql.placeholder('code')}`)
  const takeFreeCode = direct<{ code: string }, [from: string, now: number]>(
    db
      .delete(code)
      .where(
        eq(
          code.code,
          sql`(SELECT ${code.code} FROM ${code} WHERE ${code.code} >= ${sql.placeholder('from')}
          AND (${code.restsUntil} IS NULL OR ${code.restsUntil} <= ${now}) ORDER BY ${code.code} LIMIT 1)`,
        ),
      )
      .returning({ code: code.code }),
  )
  const insertText = direct(db.insert(text).values(placeholders(text)))
  const tokenHash = sql.placeholder('tokenHash')
  const isLiving = and(eq(text.code, sql.placeholder('code')), gt(text.expiresAt, now))
  const deleteLiving = texts(
    and(isLiving, or(eq(text.eraseTokenHash, tokenHash), eq(text.receiveTokenHash, tokenHash))),
  )
  const { body, seal, eraseTokenHash, writer } = placeholders(text)
  const fillIn = db
    .update(text)
    .set({ body: sql`${body}`, seal: sql`${seal}`, eraseTokenHash: sql`${eraseTokenHash}`, writer: sql`${writer}` })
    .where(and(isLiving, isNotNull(text.receiveTokenHash), eq(text.body, '')))
    .returning({ code: text.code })
    .prepare()
  const deleteExpired = texts(and(eq(text.code, sql.placeholder('code')), lte(text.expiresAt, now)))
  const deleteNextExpired = texts(
    sql`rowid = (SELECT rowid FROM ${text} WHERE ${lte(text.expiresAt, now)} ORDER BY ${text.expiresAt} LIMIT 1)`,
  )
  const addReceipt = db
    .insert(receipt)
    .values(placeholders(receipt))
    .onConflictDoUpdate({
      target: receipt.eraseTokenHash,
      set: {
        loads: sql`${receipt.loads} + excluded.loads`,
        lastLoadedAt: sql`coalesce(max(${receipt.lastLoadedAt}, excluded.last_loaded_at), excluded.last_loaded_at, ${receipt.lastLoadedAt})`,
      },
    })
    .prepare()
  const findReceipt = db
    .select()
    .from(receipt)
    .where(and(eq(receipt.eraseTokenHash, eraseTokenHash), gt(receipt.expiresAt, now)))
    .prepare()
  const lastNotKept = `SELECT expires_at AS n FROM receipt ORDER BY expires_at DESC LIMIT 1 OFFSET ${KEPT_RECEIPTS}`
  const deleteReceipts = sqlite.query(
    `DELETE FROM receipt WHERE rowid IN (
      SELECT rowid FROM receipt WHERE expires_at <= $upTo ORDER BY expires_at LIMIT ${RECEIPTS_AT_ONCE})`,
  )
  const returnCode = db.insert(code).values(placeholders(code)).prepare()
  const countResting = sqlite.query<{ n: number }, { now: number }>(
    'SELECT count(*) AS n FROM code WHERE rests_until > $now',
  )
  const count = (query: string) => sqlite.query<{ n: number | null }, []>(query).get()?.n ?? 0

  const damage = watchDamage(sqlite, path, say)
  const transactions = createTransactions(sqlite, damage)
  const { read, commit } = transactions
  const remains = createRemains(sqlite, transactions)
  const stored = createStored(sqlite, damage)
  /** While no code can be lent: from when on there may be one again. */
  let noCodesUntil = 0

  function find(code: string): LentText | undefined {
    try {
      const found = read(() => findText(code))
      if (found || !damage.isFound()) return found
    } catch (error) {
      damage.explain(error)
    }
    // The index alone may be damaged, and then also lack what is there.
    return damage.watch(() => searchText(code))
  }

  /**
   * Deletes texts and returns their codes to the pool, in one transaction. Returns how many there were.
   * @param loads what a receipt is to say of each; without it none is written
   */
  async function release(
    deleteTexts: () => ReturnType<typeof deleteLiving.all>,
    now: number,
    loads?: Pick<Receipt, 'loads' | 'lastLoadedAt'>,
  ): Promise<number> {
    await stored.measured()
    const restsUntil = now + codeRestSeconds * 1000
    const deleted = await commit(() => {
      const deleted = deleteTexts()
      for (const { code, bytes, eraseTokenHash, expiresAt } of deleted) {
        returnCode.run({ code, restsUntil } satisfies typeof schema.code.$inferSelect)
        if (loads && bytes > 0) addReceipt.run({ eraseTokenHash, expiresAt, ...loads } satisfies Receipt)
      }
      return deleted
    })
    if (deleted.length === 0) return 0
    for (const text of deleted) stored.remove(text)
    noCodesUntil = Math.min(noCodesUntil, restsUntil)
    remains.textsWereDeleted()
    return deleted.length
  }

  const receipts = createReceipts(
    (counted) =>
      commit(() => {
        for (const receipt of counted) addReceipt.run(receipt)
      }),
    RECEIPTS_AT_ONCE,
    (eraseTokenHash, now) => damage.watch(() => findReceipt.get({ eraseTokenHash, now })),
  )

  /** Deletes the receipts that are over, or too many, in turns between which requests are answered. */
  async function sweepReceipts(now: number) {
    const upTo = Math.max(now, count(lastNotKept))
    while ((await commit(() => deleteReceipts.run({ upTo }).changes)) > 0) {}
  }

  const insert = (added: LentText) => insertText.run(...columns.map(([name]) => added[name as keyof LentText]))

  /** Takes a random free code out of the pool: the first at or after a random one, beginning anew at the end. */
  function drawCode(at: number): string | undefined {
    if (at < noCodesUntil) return undefined
    const drawn = takeFreeCode.get(randomCode(), at) ?? takeFreeCode.get('', at)
    if (drawn) return drawn.code
    // The whole pool was read in vain: not again before there can be a code, nor in less than a second.
    const next = count(
      `SELECT min(n) AS n FROM (SELECT min(rests_until) AS n FROM code WHERE rests_until IS NOT NULL
        UNION ALL SELECT min(expires_at) + ${codeRestSeconds * 1000} FROM text)`,
    )
    noCodesUntil = Math.max(next, at + 1000)
  }

  return {
    async write(added, now) {
      damage.refuse()
      await stored.measured()
      const isReceiving = added.receiveTokenHash !== null
      if (isReceiving && stored.known.receiving >= room.receiving) throw tooManyWait()
      const counted = { writer: added.writer, bytes: Buffer.byteLength(added.body), isReceiving }
      const lack = lackOf(room, stored.with(counted), { ...counted, lifetime: added.expiresAt - now })
      if (lack) throw noRoom(lack)
      stored.add(counted) // Before it is there, so that of many at once no more are admitted than have room.
      let code: string | undefined
      try {
        code = await commit(() => {
          const code = drawCode(now)
          if (code !== undefined) insert({ ...added, code, createdAt: now })
          return code
        })
      } catch (error) {
        noCodesUntil = 0 // What was drawn along with this one is free again.
        throw error
      } finally {
        if (code === undefined) stored.remove(counted)
      }
      if (code !== undefined) return code
      throw new Refusal('no_codes_left', { retryAfter: Math.max(1, Math.ceil((noCodesUntil - now) / 1000)) })
    },

    async load(code, now) {
      const found = find(code)
      if (!found || found.expiresAt > now) return found
      // Gone it is in any case: if the disk is full, or locked, the sweep comes by later.
      await release(() => deleteExpired.all({ code, now }), now).catch((error) => {
        if (!(error instanceof Refusal)) throw error
      })
    },

    async fill(code, { body, seal, eraseTokenHash, writer }, now) {
      damage.refuse()
      await stored.measured()
      const counted = { writer, bytes: Buffer.byteLength(body), isReceiving: false }
      // It takes the place of one that is there, however many there are.
      const lack = lackOf(room, { ...stored.with(counted), texts: 0 }, { ...counted, lifetime: 0 })
      if (lack) throw noRoom(lack)
      stored.add(counted)
      let filled: unknown
      try {
        filled = await commit(() => fillIn.get({ code, now, body, seal, eraseTokenHash, writer }))
      } finally {
        stored.remove(filled ? { ...counted, writer: null, bytes: 0 } : counted)
      }
      return filled !== undefined
    },

    async erase(code, tokenHash, now, loads = 0) {
      damage.refuse()
      const lastLoadedAt = loads > 0 ? now : null
      return (await release(() => deleteLiving.all({ code, tokenHash, now }), now, { loads, lastLoadedAt })) > 0
    },

    countLoad: receipts.countLoad,
    receipt: receipts.receipt,

    /** Also clears the remains of deleted texts from the file. */
    async sweep(now) {
      damage.refuse()
      let swept = 0
      for (let turn = 1; turn > 0; swept += turn) {
        turn = await release(() => {
          const end = performance.now() + TURN
          const deleted = []
          while (performance.now() < end) {
            const next = deleteNextExpired.all({ now })
            if (next.length === 0) break
            deleted.push(...next)
          }
          return deleted
        }, now)
      }
      await sweepReceipts(now)
      await remains.clear().catch((error) => {
        throw damage.explain(error)
      })
      return swept
    },

    check() {
      damage.refuse()
      damage.watch(() => count('SELECT count(*) AS n FROM (SELECT 1 FROM code LIMIT 1)'))
    },

    async stats(now) {
      await stored.measured()
      return { ...stored.known, resting: damage.watch(() => countResting.get({ now })?.n ?? 0) }
    },
    known: () => ({ texts: stored.known.texts, bytes: stored.known.bytes }),

    async close() {
      await receipts.store().catch(() => {})
      await new Promise(setImmediate)
      sqlite.close()
      unlock()
    },
  }
}
