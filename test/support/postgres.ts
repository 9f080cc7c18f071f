/** A PostgreSQL of the tests' own: a cluster in a temporary folder, and a database for each store. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SQL } from 'bun'
import { upgrade } from '../../db/migrate.ts'
import { migratable } from '../../db/postgres/connection.ts'
import { SMALL_POOL, withSmallPool } from './pool.ts'

const [programs = ''] = [...new Bun.Glob('/usr/lib/postgresql/*/bin').scanSync({ onlyFiles: false, absolute: true })]
  .sort()
  .reverse()

/** Where it is missing, its tests say so; on CI they fail. */
export const isMissing = programs === '' && !Bun.env.CI

/** PostgreSQL refuses to run as root. */
const asUser = process.getuid?.() === 0 ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] : []

type Cluster = ReturnType<typeof startCluster> extends Promise<infer C> ? C : never
let cluster: Promise<Cluster> | undefined
let made = 0

export const getCluster = () => {
  cluster ??= startCluster()
  return cluster
}

export async function stopCluster() {
  if (cluster) await (await cluster).stop()
}

function freePort(): number {
  const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  listener.stop()
  return listener.port
}

export async function startCluster(settings: string[] = []) {
  const home = mkdtempSync(join(tmpdir(), 'extextcloud-postgres-'))
  if (asUser.length > 0) await Bun.$`chown postgres ${home}`.quiet()
  const port = freePort()
  const pgctlOf =
    (data: string) =>
    async (...args: string[]) => {
      const log = join(home, `${data}.log`)
      const run = Bun.spawn([...asUser, join(programs, 'pg_ctl'), '-D', join(home, data), '-l', log, '-w', ...args], {
        cwd: home,
        stdout: 'ignore',
        stderr: 'inherit',
      })
      if ((await run.exited) !== 0) throw new Error(await Bun.file(log).text())
    }
  const pgctl = pgctlOf('data')
  await Bun.$`${asUser} ${join(programs, 'initdb')} -D ${home}/data -U postgres --auth=trust -E UTF8 --locale=C --no-instructions`
    .cwd(home)
    .quiet()
  if (settings.includes('ssl=on')) {
    await Bun.$`${asUser} openssl req -new -x509 -days 1 -nodes -subj /CN=localhost -out ${home}/data/server.crt -keyout ${home}/data/server.key`
      .cwd(home)
      .quiet()
  }
  const options = [
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    `unix_socket_directories=${home}`,
    'max_connections=300',
    ...settings,
  ]
  const start = () => pgctl('start', '-o', options.map((option) => `-c ${option}`).join(' '))
  await start()
  const url = (name: string) => `postgres://postgres@127.0.0.1:${port}/${name}`
  const admin = new SQL(url('postgres'), { max: 2 })

  /** Makes the database that the ones of most tests are copies of. */
  async function makeTemplate() {
    await admin.unsafe('CREATE DATABASE small')
    const client = new SQL(url('small'), { max: 1 })
    await upgrade(withSmallPool(migratable(client)), () => {})
    await client.unsafe(`CREATE FUNCTION hex(bytea) RETURNS text LANGUAGE sql AS 'SELECT encode($1, ''hex'')'`)
    await client.close()
  }
  const template = makeTemplate()

  return {
    url,
    port,
    admin,
    home,
    start,
    stop: async () => {
      await admin.close({ timeout: 0 })
      for (const data of ['standby', 'data']) {
        if (existsSync(join(home, data, 'postmaster.pid'))) await pgctlOf(data)('stop', '-m', 'immediate')
      }
      rmSync(home, { recursive: true, force: true })
    },
    restart: () => pgctl('restart', '-m', 'fast', '-o', options.map((option) => `-c ${option}`).join(' ')),
    pause: () => pgctl('stop', '-m', 'immediate'),
    /** A server that follows this one and acknowledges each commit, so that it can take its place. */
    async standby() {
      const standbyPort = freePort()
      await Bun.$`${asUser} ${join(programs, 'pg_basebackup')} -D ${home}/standby -R -h 127.0.0.1 -p ${port} -U postgres -c fast`
        .cwd(home)
        .quiet()
      const pgctl = pgctlOf('standby')
      const own = options.map((option) => (option.startsWith('port=') ? `port=${standbyPort}` : option))
      await pgctl('start', '-o', own.map((option) => `-c ${option}`).join(' '))
      await admin.unsafe(`ALTER SYSTEM SET synchronous_standby_names = '*'`)
      await admin.unsafe('SELECT pg_reload_conf()')
      return { port: standbyPort, promote: () => pgctl('promote') }
    },
    /** A PgBouncer in front of the cluster, with fewer connections than its clients have. */
    async pooler() {
      const poolerPort = freePort()
      const file = join(home, 'pgbouncer.ini')
      await Bun.write(
        file,
        `[databases]\n* = host=127.0.0.1 port=${port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n` +
          `listen_port = ${poolerPort}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n`,
      )
      const bouncer = Bun.spawn([...asUser, 'pgbouncer', '-q', file], { cwd: home, stdout: 'ignore', stderr: 'ignore' })
      const poolerUrl = `postgres://postgres@127.0.0.1:${poolerPort}`
      const isUp = () =>
        Bun.spawnSync(['psql', `${poolerUrl}/postgres`, '-XqAtc', 'SELECT 1'], { stderr: 'ignore' }).success
      while (!isUp()) if (bouncer.exitCode !== null) throw new Error('PgBouncer did not start')
      return {
        url: poolerUrl,
        async stop() {
          bouncer.kill()
          await bouncer.exited
        },
      }
    },
    /** The address of a new database; `small` has a pool of `SMALL_POOL` codes. */
    async database(kind: 'small' | 'empty' = 'small') {
      await template
      const name = `test_${++made}`
      await admin.unsafe(`CREATE DATABASE ${name} TEMPLATE ${kind === 'small' ? 'small' : 'template0'}`)
      return url(name)
    },
    async drop(database: string) {
      await admin.unsafe(`DROP DATABASE ${new URL(database).pathname.slice(1)} WITH (FORCE)`)
    },
  }
}

/** Runs a query as an operator with a shell would. */
export function query<Row>(url: string, sql: string, ...parameters: (string | number)[]): Row[] {
  const values = [...parameters]
  const filled = sql.replace(/\?/g, () => {
    const value = values.shift()
    return typeof value === 'number' ? String(value) : `'${String(value).replaceAll("'", "''")}'`
  })
  const asked = /^\s*SELECT/i.test(filled) ? `SELECT coalesce(json_agg(asked), '[]') FROM (${filled}) AS asked` : filled
  const { stdout, stderr, exitCode } = Bun.spawnSync(['psql', url, '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', asked])
  if (exitCode !== 0) throw new Error(stderr.toString())
  return asked === filled ? [] : (JSON.parse(stdout.toString()) as Row[])
}

/** Every one of `codes` codes is in exactly one of the two tables, and the texts, their bytes and those of each writer are counted right. */
export function checkInvariant(url: string, codes = SMALL_POOL) {
  const [counts] = query<{ free: number; lent: number; both: number; miscounted: number }>(
    url,
    `SELECT (SELECT count(*) FROM code) AS free, (SELECT count(*) FROM text) AS lent,
      (SELECT count(*) FROM text JOIN code USING (code)) AS both,
      (SELECT count(*) FROM (SELECT sum(texts) AS texts, sum(bytes) AS bytes FROM stored) AS counted
        FULL JOIN (SELECT count(*) AS texts, coalesce(sum(octet_length(body)), 0) AS bytes FROM text) AS there
        USING (texts, bytes) WHERE counted IS NULL)
      + (SELECT count(*) FROM writer FULL JOIN (SELECT writer AS number, sum(octet_length(body)) AS bytes FROM text
        WHERE writer IS NOT NULL GROUP BY writer) AS there USING (number)
        WHERE coalesce(writer.bytes, 0) <> coalesce(there.bytes, 0)) AS miscounted`,
  )
  if (counts?.both !== 0 || counts.free + counts.lent !== codes || counts.miscounted > 0) {
    throw new Error(`The pool has lost its invariant: ${JSON.stringify(counts)}`)
  }
}

/** A database of a test's own. */
export async function testDatabase() {
  const cluster = await getCluster()
  const url = await cluster.database()
  return {
    path: url,
    query: <Row>(sql: string, ...parameters: (string | number)[]) => query<Row>(url, sql, ...parameters),
    checkInvariant: (codes?: number) => checkInvariant(url, codes),
    remove: () => cluster.drop(url),
  }
}

/** What stands between a server and its database: an address that can be given to another one, and a network that can fall silent. */
export async function startNetwork(port: number) {
  const sockets = new Set<Socket>()
  const listener = createServer((client) => {
    const server = connect(network.port, '127.0.0.1')
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket)
      socket.pipe(other)
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket)
          other.destroy()
        })
      if (network.isSilent) socket.pause()
    }
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const network = {
    /** Where it leads. */
    port,
    isSilent: false,
    /** Its own address, which never changes. */
    address: (url: string) => url.replace(`:${port}/`, `:${(listener.address() as AddressInfo).port}/`),
    /** Holds back every byte, in both directions, also of new connections. */
    fallSilent() {
      network.isSilent = true
      for (const socket of sockets) socket.pause()
    },
    speak() {
      network.isSilent = false
      for (const socket of sockets) socket.resume()
    },
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    stop() {
      listener.close()
      network.cut()
    },
  }
  return network
}
