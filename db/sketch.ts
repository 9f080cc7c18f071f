/**
 * What a bounded memory of counts had to forget: a count-min sketch with conservative update (Estan and Varghese 2002),
 * which never says less than what it was told, and seldom more.
 */

/** Cells of a row: with 300,000 keys four rows overcount one in a thousand, by one. */
const CELLS = 2 ** 20
const ROWS = 4
const MOST = 65_535

/** Counts of 0 to 65,535 by key, each of which ends within `span` milliseconds from when it is kept. */
export function createSketch(span: number) {
  /** By the span in which their counts end: the one of now and the next. Made when something is forgotten, not before. */
  const generations = new Map<number, Uint16Array>()

  function cellsOf(key: string): number[] {
    const [first, step] = [Bun.hash.xxHash32(key), Bun.hash.xxHash32(key, 1) | 1]
    return Array.from({ length: ROWS }, (_, row) => row * CELLS + (((first + row * step) >>> 0) % CELLS))
  }

  return {
    keep(key: string, count: number, endsAt: number, now: number) {
      const current = Math.floor(now / span)
      for (const generation of generations.keys()) {
        if (generation < current || generation > current + 1) generations.delete(generation)
      }
      const generation = Math.floor(endsAt / span)
      const kept = generations.get(generation) ?? new Uint16Array(ROWS * CELLS)
      generations.set(generation, kept)
      const least = Math.min(MOST, count)
      for (const cell of cellsOf(key)) kept[cell] = Math.max(kept[cell] ?? 0, least)
    },

    /** Whether nothing was ever forgotten: to be asked first, since it costs nothing. */
    isEmpty: () => generations.size === 0,

    /** The count of `key`, and when the last that it can be made of ends; undefined where there is none. */
    recall(key: string, now: number): { count: number; endsAt: number } | undefined {
      const current = Math.floor(now / span)
      const cells = cellsOf(key)
      let found: { count: number; endsAt: number } | undefined
      for (const generation of [current, current + 1]) {
        const kept = generations.get(generation)
        const count = kept ? Math.min(...cells.map((cell) => kept[cell] ?? 0)) : 0
        if (count > (found?.count ?? 0)) found = { count, endsAt: (generation + 1) * span }
      }
      return found
    },
  }
}
