/**
 * Reads an SQLite file and its log as they lie on the disk, page by page, also where SQLite itself would not: of a damaged
 * file. The names are those of https://www.sqlite.org/fileformat.html.
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'

export type Value = null | number | string | Buffer

/** A row of a table, or an entry of an index or of a table without rowids, which have none. */
export interface Cell {
  rowid: number | undefined
  values: Value[]
}

/** What pages have where the file's head does not say: as SQLite makes them. */
const PAGE_SIZE = 4096

const LOG_HEADER = 32
const FRAME_HEADER = 24

const INDEX_INTERIOR = 2
const INDEX_LEAF = 10
const TABLE_LEAF = 13

/** Decodes what is UTF-8 and nothing else, and keeps a byte order mark. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

type Checksum = [number, number]

/** Adds words of 32 bits, which in a log are those of the machine: little-endian ones, wherever Bun runs. */
function addToChecksum([first, second]: Checksum, words: Uint32Array): Checksum {
  for (let at = 0; at < words.length; at += 2) {
    first = (first + (words[at] ?? 0) + second) >>> 0
    second = (second + (words[at + 1] ?? 0) + first) >>> 0
  }
  return [first, second]
}

/**
 * The pages that the log of the file at `path` has, as its last commit left them. SQLite reads it up to the first frame
 * that is not whole: there it ends, or a crash broke the last commit off. Where more than one commit follows, the frame is
 * damaged, since each commit is on the disk before the next begins. Then those are read too.
 */
export function readLog(path: string, pageSize = PAGE_SIZE) {
  const bytes = new Uint8Array(existsSync(`${path}-wal`) ? readFileSync(`${path}-wal`) : [])
  const log = Buffer.from(bytes.buffer)
  const words = (from: number, to: number) => new Uint32Array(bytes.buffer, from, (to - from) / 4)
  const checksumAt = (at: number): Checksum => [log.readUInt32BE(at), log.readUInt32BE(at + 4)]
  const isSame = (one: Checksum, other: Checksum) => one[0] === other[0] && one[1] === other[1]
  const frameSize = FRAME_HEADER + pageSize
  const frames = Math.floor((log.length - LOG_HEADER) / frameSize)
  const pages = new Map<number, Buffer>()
  if (frames < 1) return { pages, isDamaged: false }

  let isAsLeft = isSame(addToChecksum([0, 0], words(0, 24)), checksumAt(24))
  // The same for every frame that is not of an older log. What damages the head may damage the first frame with it.
  const salts = log.subarray(...(isAsLeft ? [16, 24] : [LOG_HEADER + frameSize + 8, LOG_HEADER + frameSize + 16]))
  let before = checksumAt(24)
  let ofCommit: [page: number, content: Buffer][] = []
  const further: (typeof ofCommit)[] = []
  for (let frame = 0; frame < frames; frame++) {
    const at = LOG_HEADER + frame * frameSize
    const page = at + FRAME_HEADER
    const checksum = addToChecksum(addToChecksum(before, words(at, at + 8)), words(page, at + frameSize))
    before = checksumAt(at + 16)
    const isWhole = log.subarray(at + 8, at + 16).equals(salts) && isSame(checksum, before)
    isAsLeft &&= isWhole
    if (!isWhole) continue
    ofCommit.push([log.readUInt32BE(at), log.subarray(page, at + frameSize)])
    if (log.readUInt32BE(at + 4) === 0) continue // The last frame of a commit alone says how many pages there are.
    if (isAsLeft) for (const [number, content] of ofCommit) pages.set(number, content)
    else further.push(ofCommit)
    ofCommit = []
  }
  const isDamaged = further.length > 1
  if (isDamaged) for (const [number, content] of further.flat()) pages.set(number, content)
  return { pages, isDamaged }
}

/** A number of up to nine bytes; -1 for a negative one and for what is larger than anything here. */
function varint(bytes: Buffer, at: number): [value: number, next: number] {
  let value = 0
  for (let length = 1; length < 9; length++) {
    const byte = bytes.readUInt8(at++)
    value = value * 128 + (byte & 127)
    if (byte < 128) return [value, at]
  }
  return [-1, at + 1]
}

/** The values of a record. Throws where it is not one. */
function decode(record: Buffer): Value[] {
  const [headerLength, first] = varint(record, 0)
  let at = headerLength
  const values: Value[] = []
  for (let type: number, next = first; next < headerLength; ) {
    ;[type, next] = varint(record, next)
    const length = type >= 12 ? (type - (type % 2 ? 13 : 12)) / 2 : [0, 1, 2, 3, 4, 6, 8, 8, 0, 0][type]
    if (length === undefined || at + length > record.length) throw new Error('This is no record.')
    const value = record.subarray(at, at + length)
    at += length
    if (type === 0) values.push(null)
    else if (type === 8 || type === 9) values.push(type - 8)
    else if (type === 7) values.push(value.readDoubleBE())
    else if (type === 6) values.push(Number(value.readBigInt64BE()))
    else if (type < 7) values.push(value.readIntBE(0, length))
    else values.push(type % 2 ? utf8.decode(value) : value)
  }
  if (at !== record.length) throw new Error('This is no record.')
  return values
}

/** Opens the file at `path` and its log for reading them page by page. */
export function openPages(path: string) {
  const file = openSync(path, 'r')
  const head = Buffer.alloc(100)
  readSync(file, head)
  const isHead = head.toString('latin1', 0, 15) === 'SQLite format 3'
  const said = head.readUInt16BE(16)
  const size = isHead && said >= 512 && (said & (said - 1)) === 0 ? said : PAGE_SIZE
  const log = readLog(path, size)
  const count = Math.max(Math.ceil(fstatSync(file).size / size), ...log.pages.keys())

  function read(number: number): Buffer {
    const logged = log.pages.get(number)
    if (logged) return logged
    const page = Buffer.alloc(size)
    readSync(file, page, 0, size, (number - 1) * size)
    return page
  }

  /** What a cell holds from `at` on, `length` bytes, of which the last may lie on further pages. */
  function payload(page: Buffer, at: number, length: number, isTable: boolean): Buffer {
    const most = isTable ? size - 35 : Math.floor(((size - 12) * 64) / 255) - 23
    if (length <= most) {
      if (at + length > size) throw new Error('This is no cell.')
      return page.subarray(at, at + length)
    }
    if (length > count * size) throw new Error('This is no cell.')
    const least = Math.floor(((size - 12) * 32) / 255) - 23
    const fitting = least + ((length - least) % (size - 4))
    const here = fitting <= most ? fitting : least
    const parts = [page.subarray(at, at + here)]
    let left = length - here
    for (let next = page.readUInt32BE(at + here); left > 0; left -= size - 4) {
      if (next < 2 || next > count) throw new Error('The pages of this cell are not linked.')
      const further = read(next)
      parts.push(further.subarray(4, 4 + left))
      next = further.readUInt32BE(0)
    }
    return Buffer.concat(parts, length)
  }

  function cell(page: Buffer, at: number, kind: number): Cell {
    let [length, next] = varint(page, kind === INDEX_INTERIOR ? at + 4 : at)
    let rowid: number | undefined
    if (kind === TABLE_LEAF) [rowid, next] = varint(page, next)
    return { rowid, values: decode(payload(page, next, length, kind === TABLE_LEAF)) }
  }

  return {
    /** What its head says, or the log's, of `PRAGMA user_version`; 0 where neither can be read. */
    version: isHead || log.pages.has(1) ? (log.pages.get(1) ?? head).readUInt32BE(60) : 0,

    /**
     * Every row that can be read, of whichever table; or every entry, of whichever index or table without rowids. Pages
     * that are free have none: they are zeroed.
     */
    *cells(of: 'rows' | 'entries', upTo = count): Generator<Cell> {
      const kinds = of === 'rows' ? [TABLE_LEAF] : [INDEX_LEAF, INDEX_INTERIOR]
      for (let number = 1; number <= Math.min(upTo, count); number++) {
        const page = read(number)
        const start = number === 1 ? 100 : 0
        const kind = page.readUInt8(start)
        if (!kinds.includes(kind)) continue
        const pointers = start + (kind === INDEX_INTERIOR ? 12 : 8)
        const cells = Math.min(page.readUInt16BE(start + 3), (size - pointers) / 2)
        for (let at = pointers; at < pointers + 2 * cells; at += 2) {
          try {
            yield cell(page, page.readUInt16BE(at), kind)
          } catch {
            // Damaged. Others on this page may not be.
          }
        }
      }
    },

    close: () => closeSync(file),
  }
}
