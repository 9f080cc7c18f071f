/**
 * `bun run test:deployed`: what is put on servers, for real, in some minutes: the image built and run, the recipe of
 * OPERATING.md typed into a Debian that boots. Needs root.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { freePorts, type ReverseProxy } from './support/caddy.ts'
import {
  boot,
  type Containers,
  containersIn,
  installDebian,
  type Machine,
  missingTools,
  say,
} from './support/debian.ts'
import { poll } from './support/poll.ts'
import { load, post, start, stopAll, write } from './support/processes.ts'
import { PROXIES } from './support/proxies.ts'
import { filledDatabase, root, run as runCommand, temporaryPath } from './support/support.ts'

if (process.getuid?.() !== 0) throw new Error('This needs root: it boots a machine and runs containers.')
if (missingTools.length > 0) throw new Error(`First: apt-get install ${missingTools.join(' ')}`)

setDefaultTimeout(600_000)

const read = (file: string) => readFileSync(join(root, file), 'utf8')

/** What PostgreSQL's own image does with the variables that it takes. */
const POSTGRES = `chown postgres /var/lib/postgresql/data && exec setpriv --reuid=postgres --regid=postgres --clear-groups sh -c '
  [ -d $PGDATA ] || {
    echo $POSTGRES_PASSWORD > /tmp/password
    initdb --username=$POSTGRES_USER --pwfile=/tmp/password --auth=scram-sha-256
    echo host all all all scram-sha-256 >> $PGDATA/pg_hba.conf
    echo CREATE DATABASE $POSTGRES_DB | postgres --single postgres
  }
  exec postgres -c listen_addresses=*'`

/** A minute to lay down: the next run takes what this one leaves where `DEBIAN` says. */
const debian = Bun.env.DEBIAN ?? temporaryPath('debian')
beforeAll(() => (existsSync(debian) ? undefined : installDebian(debian)))

/** A Caddyfile by which Caddy gives itself the certificates: without DNS no authority of others does. */
const withOwnAuthority = (caddyfile: string) => caddyfile.replace('{\n', '{\n\tlocal_certs\n\tskip_install_trust\n')

/** The lines of the nth block that a shell reads under a heading of OPERATING.md. */
function recipe(heading: string, nth = 0): string {
  const section = read('OPERATING.md')
    .split(/^#+ /m)
    .find((text) => text.startsWith(`${heading}\n`))
  const blocks = [...(section ?? '').matchAll(/^```sh\n(.*?)^```$/gms)].map(([, lines = '']) => lines)
  const block = blocks[nth]
  if (!block) throw new Error(`OPERATING.md has no such lines under "${heading}".`)
  return block
}

const IMAGE = 'localhost/extextcloud'
let containers: Containers
const podman = (...args: string[]) => containers.podman(...args)

/** The image, and what stands in for those that it and the compose files name. */
beforeAll(async () => {
  containers = await containersIn(temporaryPath('containers'))
  const context = temporaryPath('context')
  mkdirSync(context)
  copyFileSync(process.execPath, join(context, 'bun'))
  // By which this machine reaches the registry of packages.
  copyFileSync(Bun.env.NODE_EXTRA_CA_CERTS ?? '/etc/ssl/certs/ca-certificates.crt', join(context, 'certificates.pem'))
  const [bun = '', slim = ''] = [...read('Dockerfile').matchAll(/^FROM (\S+:\S+)/gm)].map(([, base]) => base ?? '')
  await containers.build(`docker.io/library/${slim}`, 'FROM scratch\nCOPY . /\n', debian)
  const standIns: Record<string, string[]> = {
    [`docker.io/${bun}`]: [
      'COPY bun /usr/local/bin/bun',
      'RUN ln -s bun /usr/local/bin/node',
      'COPY certificates.pem /',
      'ENV NODE_EXTRA_CA_CERTS=/certificates.pem',
    ],
    'docker.io/library/caddy:2': [
      'ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data',
      'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]',
    ],
    'docker.io/library/postgres:15': [
      'RUN apt-get update && apt-get install --no-install-recommends postgresql-15',
      'VOLUME /var/lib/postgresql/data',
      'ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data/inside',
      `CMD ["sh", "-c", ${JSON.stringify(POSTGRES)}]`,
    ],
  }
  for (const [name, lines] of Object.entries(standIns))
    await containers.build(name, [`FROM docker.io/library/${slim}`, ...lines, ''].join('\n'), context)
  await containers.build(IMAGE, read('Dockerfile'), root)
})
afterAll(() => containers?.remove())

describe('the image', () => {
  /** Starts a container; returns its id and address once it answers. */
  async function run(...options: string[]) {
    const id =
      (await podman('run', '--detach', '--publish', '127.0.0.1::3000', ...options, IMAGE)).split('\n').at(-1) ?? ''
    return { id, url: await addressOf(id) }
  }

  async function addressOf(id: string) {
    const url = `http://${(await podman('port', id, '3000')).trim()}`
    await poll(`${id} to answer`, async () => (await fetch(`${url}/health`)).ok, 30_000)
    return url
  }

  const write = async (url: string, text: string) =>
    (await (await fetch(url, { method: 'POST', body: text })).text()).trim()
  const load = async (url: string, code: string) => (await fetch(`${url}/${code}`)).text()

  /** Of the process that serves in a container: its user, its capabilities, and whether it may get more. */
  async function rightsOf(id: string) {
    const pid = await podman('inspect', '--format', '{{.State.Pid}}', id)
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1]
    return { uid: field('Uid'), capabilities: field('CapBnd'), cannotGain: field('NoNewPrivs') }
  }

  const NOTHING = { uid: '10001', capabilities: '0000000000000000', cannotGain: '1' }

  test('it has the executable and hardly anything else', async () => {
    const bytes = Number(await podman('image', 'inspect', '--format', '{{.Size}}', IMAGE))
    console.log(`The image has ${(bytes / 1e6).toFixed(1)} MB`)
    expect(bytes).toBeLessThan(130e6)
  })

  test('it answers, is well by its own check, has no rights, stops clean, and keeps the texts', async () => {
    const { id, url } = await run('--volume', 'texts:/data')
    const code = await write(url, 'in a container')
    expect(await load(url, code)).toBe('in a container')
    expect(await (await fetch(url)).text()).toContain('<title')
    await podman('healthcheck', 'run', id)
    expect(await rightsOf(id)).toEqual(NOTHING)
    const before = performance.now()
    await podman('stop', '--time', '10', id)
    expect(performance.now() - before).toBeLessThan(6000)
    expect(await podman('inspect', '--format', '{{.State.ExitCode}}', id)).toBe('0')
    expect(await podman('logs', id)).toContain('every answered write is on the disk')
    await podman('start', id)
    expect(await load(await addressOf(id), code)).toBe('in a container')
    // A release: another container, the same volume.
    await podman('rm', '--force', id)
    expect(await load((await run('--volume', 'texts:/data')).url, code)).toBe('in a container')
  })

  test('a volume of root’s is handed over', async () => {
    const volume = temporaryPath('volume')
    mkdirSync(volume)
    writeFileSync(join(volume, 'older.db'), '')
    const { id, url } = await run('--volume', `${volume}:/data`)
    expect(await load(url, await write(url, 'a'))).toBe('a')
    expect(await rightsOf(id)).toEqual(NOTHING)
    for (const name of ['', ...readdirSync(volume)]) expect(statSync(join(volume, name)).uid).toBe(10001)
  })

  test('a root file system that cannot be written is no hindrance, nor is a user who was never root', async () => {
    const volume = temporaryPath('volume')
    mkdirSync(volume)
    chownSync(volume, 12345, 12345)
    const hardened = ['--read-only', '--read-only-tmpfs=false', '--cap-drop=all', '--security-opt=no-new-privileges']
    const { id, url } = await run(...hardened, '--user', '12345:12345', '--volume', `${volume}:/data`)
    expect(await load(url, await write(url, 'a'))).toBe('a')
    expect(await rightsOf(id)).toEqual({ ...NOTHING, uid: '12345' })
    const other = await run('--read-only', '--read-only-tmpfs=false')
    expect(await load(other.url, await write(other.url, 'a'))).toBe('a')
  })

  test('a proxy that the host puts into every container is not asked for the server’s own health', async () => {
    const proxy = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY'].flatMap((name) => ['--env', `${name}=http://127.0.0.1:9`])
    const { id, url } = await run(...proxy)
    await podman('healthcheck', 'run', id)
    expect(await load(url, await write(url, 'a'))).toBe('a')
  })
})

describe('the compose files', () => {
  const project = temporaryPath('project')
  const WWW = 'www.texts.test'
  let https = 0

  const compose = (...args: string[]) =>
    say(['podman-compose', ...args], {
      cwd: project,
      env: { ...containers.env, DOMAIN: 'texts.test', POSTGRES_PASSWORD: 'secret' },
    })

  const curl = (path: string, ...args: string[]) =>
    say(['curl', '-sk', '--resolve', `${WWW}:${https}:127.0.0.1`, ...args, `https://${WWW}:${https}${path}`])

  const isServed = () => poll('the service to answer', async () => (await curl('/health')).includes('ok'), 60_000)

  beforeAll(async () => {
    mkdirSync(project)
    const [http, free] = await freePorts()
    https = free
    // But for ports that others may have, and certificates for which there is no DNS.
    const ports = read('compose.yaml')
      .replaceAll('"80:80', `"127.0.0.1:${http}:80`)
      .replaceAll('"443:443', `"127.0.0.1:${https}:443`)
    writeFileSync(join(project, 'compose.yaml'), ports)
    copyFileSync(join(root, 'compose.postgres.yaml'), join(project, 'compose.postgres.yaml'))
    writeFileSync(join(project, 'Caddyfile'), withOwnAuthority(read('Caddyfile')))
  })

  test('the service and Caddy come up, and keep the texts when they are made anew', async () => {
    await compose('up', '--detach')
    await isServed()
    expect(await curl('/')).toContain('<title')
    const code = await curl('/', '--data-binary', 'composed')
    expect(await curl(`/${code}`)).toBe('composed')
    await compose('down')
    await compose('up', '--detach')
    await isServed()
    expect(await curl(`/${code}`)).toBe('composed')
    await compose('down')
  })

  test('the second file puts PostgreSQL in the place of the SQLite file', async () => {
    const files = ['--file', 'compose.yaml', '--file', 'compose.postgres.yaml']
    await compose(...files, 'up', '--detach')
    await isServed()
    expect(await curl(`/${await curl('/', '--data-binary', 'in a database')}`)).toBe('in a database')
    const [id = ''] = (await podman('ps', '--quiet', '--filter', 'name=_extextcloud_1')).split('\n')
    expect(await podman('logs', id)).toContain('The data is in postgres://extextcloud')
    await compose(...files, 'down')
  })
})

describe('a server by the recipe', () => {
  const folder = temporaryPath('machine')
  let machine: Machine
  const type = (lines: string) => machine.type(lines, '/root/extextcloud')

  /** curl on the machine, which trusts Caddy's own authority. */
  const curl = (...args: string[]) =>
    type(
      `curl -s --cacert /var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt ${args.map((arg) => Bun.$.escape(arg)).join(' ')}`,
    )
  const SITE = 'https://www.example.com'
  const MODE = 'stat -c %a:%u /var/lib/extextcloud/extextcloud.db'
  const user = () => type('stat -c %u /proc/$(systemctl show -P MainPID extextcloud)')
  const write = (text: string) => curl('--data-binary', text, SITE)
  const load = (code: string) => curl(`${SITE}/${code}`)
  const isBack = () => poll('the service to answer', async () => (await curl(`${SITE}/health`)).includes('ok'), 20_000)

  beforeAll(async () => {
    await say(['bun', 'build.ts', 'executable'], { cwd: root })
    await say(['cp', '--archive', '--reflink=auto', debian, folder])
    const home = join(folder, 'root/extextcloud')
    mkdirSync(join(home, 'dist'), { recursive: true })
    copyFileSync(join(root, 'dist/extextcloud'), join(home, 'dist/extextcloud'))
    for (const file of new Bun.Glob('extextcloud*.{service,timer}').scanSync(root))
      copyFileSync(join(root, file), join(home, file))
    writeFileSync(join(home, 'Caddyfile'), withOwnAuthority(read('Caddyfile')))
    machine = await boot(folder)
    await type(recipe('A server of your own'))
    await isBack()
  })
  afterAll(() => machine?.stop())

  test('it serves the page over https, leads there, and names the client', async () => {
    expect(await curl(SITE)).toContain('<title')
    expect(await curl('-o', '/dev/null', '-w', '%{http_code} %{redirect_url}', 'http://example.com/')).toBe(
      '308 https://example.com/',
    )
    expect(await curl('-o', '/dev/null', '-w', '%{http_code} %{redirect_url}', 'https://example.com/')).toBe(
      `301 ${SITE}/`,
    )
    expect(await load(await write('typed in'))).toBe('typed in')
    expect(await type('curl -s http://127.0.0.1:9091/metrics')).toContain('extextcloud_texts 1')
    expect(await type('curl -s http://127.0.0.1:9091/metrics')).toContain('extextcloud_unnamed_clients_total 0')
  })

  test('it runs as a user of its own, and nobody else reads the data', async () => {
    expect(Number(await user())).toBeWithin(61_184, 65_520) // systemd's dynamic users
    expect(await type(MODE)).toBe(`600:${await user()}`)
  })

  test('a kill, a reboot and a release lose nothing', async () => {
    const code = await write('still there')
    await type('systemctl kill --signal KILL extextcloud')
    expect(await load(code)).toBe('still there')
    await machine.reboot()
    await isBack()
    expect(await load(code)).toBe('still there')
    await type('install -m 0755 dist/extextcloud /usr/local/bin/; systemctl restart extextcloud')
    expect(await load(code)).toBe('still there')
  })

  test('the timer’s copy is restored by the lines for it, and old copies go', async () => {
    expect(await type('systemctl list-timers --all --no-legend extextcloud-backup.timer')).toContain(
      'extextcloud-backup.service',
    )
    const code = await write('before the backup')
    await type('systemctl start extextcloud-backup')
    const later = await write('after the backup')
    const backups = (await type('ls /var/lib/extextcloud/backups')).split('\n')
    expect(backups).toHaveLength(1)
    await type(recipe('A server of your own', 1).replace('backups/FILE', `backups/${backups[0]}`))
    await isBack()
    expect(await load(code)).toBe('before the backup')
    expect(await curl('-o', '/dev/null', '-w', '%{http_code}', `${SITE}/${later}`)).toBe('404')
    expect(await type(MODE)).toBe(`600:${await user()}`)
    await type(`touch -d '8 days ago' /var/lib/extextcloud/backups/${backups[0]}; systemctl start extextcloud-backup`)
    const left = (await type('ls /var/lib/extextcloud/backups')).split('\n')
    expect([left.length, left.includes(backups[0] ?? '')]).toEqual([1, false])
  })

  test('the database of the last release is taken over', async () => {
    await type('systemctl stop extextcloud')
    const database = Bun.gunzipSync(
      new Uint8Array(readFileSync(join(root, 'test/fixtures/0002_index_resting_codes.db.gz'))),
    )
    writeFileSync(join(folder, 'root/old.db'), database)
    await type(
      'cd /var/lib/extextcloud; rm -f extextcloud.db-*; cp /root/old.db extextcloud.db; systemctl start extextcloud',
    )
    await isBack()
    expect(await load('aaaa')).toBe('plain 부엌')
    expect(await type('systemctl show -P NRestarts extextcloud')).toBe('0')
  })
})

test('Litestream, as db/README.md sets it up, loses nothing to a crash', async () => {
  const home = temporaryPath('litestream')
  mkdirSync(home)
  const [path, replica, config] = [join(home, 'texts.db'), join(home, 'replica'), join(home, 'litestream.yml')]
  const [, yaml = ''] = /^```yaml\n(dbs:.*?)^```$/ms.exec(read('db/README.md')) ?? []
  const here = yaml.replace('/var/lib/extextcloud/extextcloud.db', path).replace(/url: \S+/, `path: ${replica}`)
  writeFileSync(config, here)
  // Its package forgets that it is a program.
  const litestream = join(home, 'litestream')
  copyFileSync(join(root, `node_modules/@flydotio/litestream-linux-${process.arch}/litestream`), litestream)
  chmodSync(litestream, 0o755)

  copyFileSync(await filledDatabase(), path)
  const server = await start(path)
  const replicating = Bun.spawn([litestream, 'replicate', '-config', config], { stdout: 'ignore', stderr: 'ignore' })
  try {
    await poll('Litestream to begin', async () => existsSync(replica))
    const written = await post(server, 'write', { text: 'erased later' })
    const { expiresAt: _, ...erased } = (await written.json()) as { code: string; expiresAt: string }
    const code = await write(server, 'stays')
    expect((await post(server, 'erase', erased)).status).toBe(204)
    const restored = join(home, 'restored.db')
    await poll('the replica to have it all', async () => {
      rmSync(restored, { force: true })
      await say([litestream, 'restore', '-config', config, '-o', restored, path])
      return (await runCommand('db:status', restored)).join('\n').includes('texts       1, 5 bytes')
    })
    server.process.kill('SIGKILL')
    const again = await start(restored)
    expect(await load(again, code)).toBe('stays')
    expect(await load(again, erased.code)).toBeUndefined()
  } finally {
    replicating.kill()
    await stopAll()
  }
})

test('no proxy cuts off who waits, in more than a minute of silence', async () => {
  const server = await start(await filledDatabase(), { CLIENT_IP_HEADER: 'X-Forwarded-For' })
  const proxies = await Promise.all(PROXIES.map((proxy) => proxy.start('texts.test', server.url)))
  const waitLong = async (proxy: ReverseProxy) => {
    const curl = ['curl', '-skN', ...proxy.resolve('www.texts.test')]
    const json = ['-H', 'Content-Type: application/json', '-d']
    const receiver = Bun.spawn([...curl, '-d', '', `${proxy.url}/receive`])
    const lines = receiver.stdout.pipeThrough(new TextDecoderStream()).getReader()
    const code = (await lines.read()).value?.trim()
    const { receiveToken, ...lent } = JSON.parse(await say([...curl, ...json, '{}', `${proxy.url}/api/receive`]))
    const awaited = JSON.stringify({ code: lent.code, receiveToken })
    const begun = performance.now()
    // Each takes 20 to 25 seconds.
    while (performance.now() - begun < 61_000)
      expect(await say([...curl, ...json, awaited, '-w', '%{http_code}', `${proxy.url}/api/receive/wait`])).toBe('204')
    await say([...curl, '--data-binary', 'late', `${proxy.url}/${code}`])
    expect((await lines.read()).value).toBe('late')
    expect(await receiver.exited).toBe(0)
  }
  try {
    await Promise.all(proxies.map(waitLong))
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.stop()))
    await stopAll()
  }
})
