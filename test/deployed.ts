/**
 * `bun run test:deployed`: what is put on servers, for real, in some minutes: the image built and run, the recipe of
 * OPERATING.md typed into a Debian that boots. Needs root.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
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
import { root, temporaryPath } from './support/support.ts'

if (process.getuid?.() !== 0) throw new Error('This needs root: it boots a machine and runs containers.')
if (missingTools.length > 0) throw new Error(`First: apt-get install ${missingTools.join(' ')}`)

const read = (file: string) => readFileSync(join(root, file), 'utf8')

/** A minute to lay down: the next run takes what this one leaves where `DEBIAN` says. */
const debian = Bun.env.DEBIAN ?? temporaryPath('debian')
beforeAll(() => (existsSync(debian) ? undefined : installDebian(debian)))

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

describe('the image', () => {
  const IMAGE = 'localhost/extextcloud'
  let containers: Containers
  const podman = (...args: string[]) => containers.podman(...args)

  beforeAll(async () => {
    containers = await containersIn(temporaryPath('containers'))
    // Bun as its own image has it, and the certificates by which this machine reaches the registry of packages.
    const bun = temporaryPath('bun')
    mkdirSync(bun)
    copyFileSync(process.execPath, join(bun, 'bun'))
    copyFileSync(Bun.env.NODE_EXTRA_CA_CERTS ?? '/etc/ssl/certs/ca-certificates.crt', join(bun, 'certificates.pem'))
    const [build = '', slim = ''] = [...read('Dockerfile').matchAll(/^FROM (\S+:\S+)/gm)].map(([, base]) => base ?? '')
    await containers.build(`docker.io/library/${slim}`, 'FROM scratch\nCOPY . /\n', debian)
    const standIn = `FROM docker.io/library/${slim}\nCOPY bun /usr/local/bin/bun\nRUN ln -s bun /usr/local/bin/node\n`
    const certificates = 'COPY certificates.pem /\nENV NODE_EXTRA_CA_CERTS=/certificates.pem\n'
    await containers.build(`docker.io/${build}`, standIn + certificates, bun)
    await containers.build(IMAGE, read('Dockerfile'), root)
  })
  afterAll(() => containers?.remove())

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
    // Without DNS no authority of others gives a certificate.
    writeFileSync(join(home, 'Caddyfile'), read('Caddyfile').replace('{\n', '{\n\tlocal_certs\n\tskip_install_trust\n'))
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
