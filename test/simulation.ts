/**
 * `bun run simulate`: how many strangers' texts guessing finds in a day, and how many honest loads are refused meanwhile.
 * The real guard, by a clock of its own, beside people who load and mistype; each attacker tries every way it has, and
 * the one that finds the most is told. Prints the table of OPERATING.md.
 */
import { CODES, LETTERS } from '../db/store.ts'
import { Refusal } from '../errors.ts'
import { createGuard } from '../guard.ts'
import { readSettings } from '../settings.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** How long a text lives, mostly: who asks for a code again while that is free finds what is written meanwhile. */
const LIFE = HOUR
const ASKED_AGAIN = 10 * MINUTE

const DAYS = 3

const LOADS_A_DAY = 10_000
const MISTYPED = 0.03
/** Of the mistyped: what is right but for capitals. */
const CAPITALS = 0.5
/** Of the loads: those behind an address that many share, half of them classes of thirty that load one code within ten minutes. */
const SHARED = 0.1
const CLASS = 30
/** Addresses that many share: of offices, and of schools. */
const SHARED_ADDRESSES = 10
/** Of the loads: those from the networks of the attacker. */
const NEIGHBOURS = 0.02

/** The same numbers in each run (xorshift32). */
function createRandom(seed = 1) {
  let state = seed * 2_654_435_769
  return (below: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return Math.floor(((state >>> 0) / 2 ** 32) * below)
  }
}

type Random = ReturnType<typeof createRandom>

const codeOf = (number: number) => [3, 2, 1, 0].map((place) => LETTERS[Math.floor(number / 52 ** place) % 52]).join('')
const hex = (number: number) => number.toString(16)

/** Client keys, as `clientKey` makes them. Those of one IPv4 attacker are each in a network of its own. */
const scattered = (at: number) => `${5 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}.7`

interface Attacker {
  name: string
  /** The addresses that it has; without them, networks that have one for each guess. */
  clients?: string[]
  fresh?: (random: Random) => string
  /** Another's address in one of its networks, if not all of them are its own. */
  neighbour?: (random: Random) => string
  /** Misses a day by the rules of before: 20 an hour, an IPv6 /48 ten times that, forgotten after 20,000 others. */
  missesBefore: number
}

const addresses = (count: number) => Array.from({ length: count }, (_, at) => scattered(at))
const besides = (count: number) => (random: Random) => scattered(random(count)).replace(/7$/, String(10 + random(200)))

const ATTACKERS: Attacker[] = [
  { name: 'one address', clients: addresses(1), neighbour: besides(1), missesBefore: 480 },
  {
    name: '200 addresses of an IPv4 /24',
    clients: Array.from({ length: 200 }, (_, at) => `198.18.0.${at}`),
    neighbour: (random) => `198.18.0.${200 + random(56)}`,
    missesBefore: 200 * 480,
  },
  {
    name: 'an IPv6 /56',
    fresh: (random) => `2001:470:1:1${hex(16 + random(240))}::/64`,
    neighbour: (random) => `2001:470:1:${hex(512 + random(65_000))}::/64`,
    missesBefore: 4800,
  },
  {
    name: 'an IPv6 /48',
    fresh: (random) => `2001:470:1:${hex(random(65_536))}::/64`,
    neighbour: (random) => `2001:470:${hex(2 + random(65_000))}:${hex(random(65_536))}::/64`,
    missesBefore: 4800,
  },
  {
    name: 'an IPv6 /32',
    fresh: (random) => `2001:470:${hex(random(65_536))}:${hex(random(65_536))}::/64`,
    missesBefore: 65_536 * 4800,
  },
  { name: '1,000 addresses', clients: addresses(1000), neighbour: besides(1000), missesBefore: 480_000 },
  {
    name: '20,001 addresses',
    clients: addresses(20_001),
    neighbour: besides(20_001),
    missesBefore: Number.POSITIVE_INFINITY,
  },
]

interface Turn {
  client: string
  /** Both return for how many milliseconds the client is refused, 0 where it is not. */
  guess(client: string, code?: string): Promise<number>
  load(client: string, code: string): Promise<number>
  random: Random
}

/** What a client of the attacker does when it is its turn; returns after how many milliseconds it has its next. */
type Way = (turn: Turn) => Promise<number>

const WAYS: Record<string, Way> = {
  'as fast as it goes': async ({ client, guess }) => {
    for (;;) {
      const wait = await guess(client)
      if (wait > 0) return wait
    }
  },
  'below the limit of an hour': async ({ client, guess }) => Math.max(HOUR / 2.5, await guess(client)),
  'around texts of its own': async ({ client, guess, load, random }) => {
    const code = codeOf(random(CODES))
    for (let way = 1; way < 16; way++) {
      const wait = await guess(
        client,
        [...code].map((letter, at) => (way & (1 << at) ? swapped(letter) : letter)).join(''),
      )
      if (wait > 0) return wait
    }
    await load(client, code)
    return MINUTE
  },
}

const FRESH: Record<string, Way> = { 'a fresh address for each guess': async () => 0 }

const swapped = (letter: string) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase())

/** A load of a person, and what he types before. */
interface Load {
  client: string
  code: string
  mistyped?: string
  isNeighbour: boolean
}

/** The loads of a day, by minute. */
function loadsOfDay(random: Random, living: string[], attacker: Attacker | undefined): Load[][] {
  const minutes: Load[][] = Array.from({ length: DAY / MINUTE }, () => [])
  const isTrue = (share: number) => random(10_000) < 10_000 * share
  function mistype(code: string) {
    const letters = [...code]
    const at = random(4)
    letters[at] = isTrue(CAPITALS) ? swapped(letters[at] ?? '') : codeOf(random(CODES)).slice(-1)
    return letters.join('')
  }
  function add(minute: number, client: string, code: string, isNeighbour = false) {
    const typed = isTrue(MISTYPED) ? mistype(code) : code
    minutes[minute]?.push({ client, code, mistyped: typed === code ? undefined : typed, isNeighbour })
  }
  const code = () => living[random(living.length)] ?? ''
  /** From eight to eighteen, mostly. */
  const minute = () => (isTrue(0.8) ? 480 + random(600) : random(minutes.length))
  const loads = (share: number) => Array.from({ length: LOADS_A_DAY * share }).keys()
  for (const _ of loads(1 - SHARED - NEIGHBOURS)) {
    add(minute(), `${60 + random(100)}.${random(256)}.${random(256)}.${random(256)}`, code())
  }
  for (const _ of loads(NEIGHBOURS))
    add(minute(), attacker?.neighbour?.(random) ?? `170.0.${random(256)}.1`, code(), true)
  for (const _ of loads(SHARED / 2)) add(480 + random(600), `51.1.${random(SHARED_ADDRESSES)}.1`, code())
  for (const _ of loads(SHARED / 2 / CLASS)) {
    const [school, begins, shown] = [`51.2.${random(SHARED_ADDRESSES)}.1`, 480 + random(480), code()]
    for (let pupil = 0; pupil < CLASS; pupil++) add(begins + random(10), school, shown)
  }
  return minutes
}

/** Of honest loads, how many there were and how many were refused. */
interface Honest {
  loads: number
  refused: number
}

/** Days of an attacker that goes one way: the misses that it was told on each, and what became of people's loads. */
async function simulate(attacker: Attacker | undefined, way: Way, texts: number) {
  const random = createRandom(texts)
  const begins = Date.UTC(2030, 0, 1)
  let now = begins
  const guard = createGuard(
    readSettings({}),
    () => now,
    undefined,
    () => texts,
  )
  const living = Array.from({ length: texts }, () => codeOf(random(CODES)))
  const told = Array.from({ length: DAYS }, () => 0)
  const [others, neighbours]: Honest[] = [
    { loads: 0, refused: 0 },
    { loads: 0, refused: 0 },
  ]

  /** Does what a limit may refuse; returns for how long it does, 0 where it does not. */
  async function waitFor(work: () => Promise<unknown>): Promise<number> {
    try {
      await work()
      return 0
    } catch (error) {
      if (error instanceof Refusal) return 1000 * (error.details.retryAfter ?? 1)
      throw error
    }
  }

  /** As a look-up does that finds nothing, and one that finds a text. */
  const miss = (client: string, code: string) =>
    waitFor(async () => {
      guard.refuseLookUp(client)
      await guard.miss(client, code)
    })
  const load = (client: string, code: string) =>
    waitFor(async () => {
      guard.refuseLookUp(client)
      await guard.admitLookUp(client)
      await guard.forgive(client, code, false)
    })

  let day = 0
  async function guess(client: string, code = codeOf(random(CODES))) {
    const wait = await miss(client, code)
    if (wait === 0) told[day] = (told[day] ?? 0) + 1
    return wait
  }

  const turns = new Map<number, string[]>([[0, attacker?.clients ?? []]])
  for (; day < DAYS; day++) {
    const people = loadsOfDay(random, living, attacker)
    for (const [minute, visits] of people.entries()) {
      const turn = day * people.length + minute
      now = begins + turn * MINUTE
      for (const client of turns.get(turn) ?? []) {
        const next = turn + Math.max(1, Math.ceil((await way({ client, guess, load, random })) / MINUTE))
        const others = turns.get(next) ?? []
        others.push(client)
        turns.set(next, others)
      }
      turns.delete(turn)
      // Some of its networks may be refused, and others not.
      if (attacker?.fresh) {
        for (let refused = 0; refused < 10; ) if ((await guess(attacker.fresh(random))) > 0) refused++
      }
      now += MINUTE / 2
      for (const { client, code, mistyped, isNeighbour } of visits) {
        if (mistyped) await miss(client, mistyped)
        const people = isNeighbour ? neighbours : others
        if (!people) continue
        people.loads++
        // What counts is that the right code opens.
        if ((await load(client, code)) > 0) people.refused++
      }
    }
  }
  return { told, others, neighbours }
}

const sum = (numbers: number[]) => numbers.reduce((sum, each) => sum + each, 0)
const spell = (texts: number) =>
  texts === 0
    ? '0'
    : texts < 0.01
      ? '< 0.01'
      : texts < 10
        ? texts.toPrecision(2)
        : Math.round(texts).toLocaleString('en')
const perTenThousand = (all: (Honest | undefined)[]) =>
  spell((10_000 * sum(all.map((honest) => honest?.refused ?? 0))) / sum(all.map((honest) => honest?.loads ?? 0)))

/** What a number of misses in a day finds of so many texts. */
const found = (misses: number, texts: number) => Math.min(texts, (misses * texts) / (CODES - texts))

console.log(
  '| attacker | live texts | before | the first day | each later day | the way | of 10,000 honest loads refused | of its neighbours |',
)
console.log('|---|---|---|---|---|---|---|---|')
for (const attacker of [undefined, ...ATTACKERS]) {
  for (const texts of [100, 10_000, 100_000]) {
    const runs = []
    for (const [name, way] of Object.entries(attacker?.clients ? WAYS : FRESH)) {
      const run = await simulate(attacker, way, texts)
      const finds = run.told.map((misses) => found(misses * (1 + ASKED_AGAIN / LIFE), texts))
      runs.push({ ...run, name, finds })
    }
    const [best] = runs.toSorted((a, b) => sum(b.finds) - sum(a.finds))
    const [first = 0, ...later] = best?.finds ?? []
    console.log(
      `| ${[
        attacker?.name ?? 'nobody',
        texts.toLocaleString('en'),
        ...(attacker
          ? [spell(found(attacker.missesBefore, texts)), spell(first), spell(sum(later) / later.length), best?.name]
          : ['', '', '', '']),
        perTenThousand(runs.map(({ others }) => others)),
        attacker?.neighbour ? perTenThousand(runs.map(({ neighbours }) => neighbours)) : '',
      ].join(' | ')} |`,
    )
  }
}
