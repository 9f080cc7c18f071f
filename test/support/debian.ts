/**
 * A Debian in a folder: the stand-in for what images are built on, since nothing is fetched from a registry of images, and
 * a machine that really boots. Needs root, and what `missingTools` names.
 */
import { readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { poll } from './poll.ts'

const TOOLS = {
  debootstrap: 'debootstrap',
  'systemd-nspawn': 'systemd-container',
  buildah: 'buildah',
  podman: 'podman',
  'podman-compose': 'podman-compose',
  runc: 'runc',
}

/** The Debian packages that have to be installed first. */
export const missingTools = Object.entries(TOOLS).flatMap(([command, name]) => (Bun.which(command) ? [] : [name]))

/** What a command says; throws all that it says where it fails. */
export async function say(
  command: string[],
  options: { cwd?: string; env?: Record<string, string>; stdin?: string } = {},
) {
  const { stdin, env, ...rest } = options
  const process = Bun.spawn(command, {
    ...rest,
    env: { ...Bun.env, ...env },
    stdin: new Blob([stdin ?? '']),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [out, err] = await Promise.all([new Response(process.stdout).text(), new Response(process.stderr).text()])
  if ((await process.exited) !== 0) throw new Error(`${command.join(' ')}: ${out}${err}`)
  return out.trim()
}

/** Lays a Debian into `folder`, with what OPERATING.md installs and what a test asks with. It knows itself by the domain of that page. */
export async function installDebian(folder: string) {
  const packages = ['systemd', 'systemd-sysv', 'dbus', 'caddy', 'curl']
  await say(['debootstrap', '--variant=minbase', `--include=${packages}`, 'bookworm', folder])
  // Nobody is there to answer, nor is a network: what is installed already stays.
  await writeFile(join(folder, 'etc/apt/apt.conf.d/90yes'), 'APT::Get::Assume-Yes "true";\n')
  await writeFile(join(folder, 'etc/hosts'), '127.0.0.1 localhost example.com www.example.com\n')
}

/** A place for images and containers of its own, in `home`. `env` leads buildah, podman and podman-compose there. */
export async function containersIn(home: string) {
  await mkdir(home, { recursive: true })
  const [storage, containers] = [join(home, 'storage.conf'), join(home, 'containers.conf')]
  await writeFile(storage, `[storage]\ndriver = "overlay"\ngraphroot = "${home}/storage"\nrunroot = "${home}/run"\n`)
  // A test may itself be in a container, which grants no more than this.
  await writeFile(
    containers,
    '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n' +
      '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n',
  )
  const env = { CONTAINERS_STORAGE_CONF: storage, CONTAINERS_CONF: containers, BUILDAH_ISOLATION: 'chroot' }
  const podman = (...args: string[]) => say(['podman', ...args], { env })

  /** Builds an image from a Dockerfile's text, in the folder `context`. Nothing is pulled. */
  const build = (name: string, dockerfile: string, context: string) =>
    say(['buildah', 'bud', '--quiet', '--format=docker', '--pull-never', '--tag', name, '--file', '-', context], {
      env,
      stdin: dockerfile,
    })

  return {
    env,
    podman,
    build,
    /** Ends and removes all that is there. */
    async remove() {
      await podman('rm', '--all', '--force', '--time', '0')
      await podman('volume', 'prune', '--force')
      await podman('network', 'prune', '--force')
      await say(['buildah', 'rm', '--all'], { env })
      await podman('rmi', '--all', '--force')
      await rm(home, { recursive: true, force: true })
    },
  }
}

export type Containers = Awaited<ReturnType<typeof containersIn>>

/** Boots the Debian in `folder`, with a network of its own that leads nowhere. */
export async function boot(folder: string) {
  const options = ['--boot', '--register=no', '--keep-unit', '--private-network', '--resolv-conf=off', '--console=pipe']
  let [nspawn, leader] = await start()

  /** Types lines into a shell of root's; the first that fails ends it. Returns what they said. */
  function type(lines: string, cwd = '/root', pid = leader) {
    const shell = ['env', '-i', `-C${cwd}`, 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'bash', '-e']
    return say(['nsenter', '-t', pid, '-a', '--', ...shell], { stdin: lines })
  }

  async function start(): Promise<[Bun.Subprocess, string]> {
    const nspawn = Bun.spawn(['systemd-nspawn', '-D', folder, ...options], {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
    })
    const pid = await poll(
      'the machine to boot',
      async () => {
        const [child] = readFileSync(`/proc/${nspawn.pid}/task/${nspawn.pid}/children`, 'utf8').split(' ')
        return child && /running|degraded/.test(await type('systemctl is-system-running || true', '/', child)) && child
      },
      60_000,
    )
    return [nspawn, pid]
  }

  return {
    type,
    async reboot() {
      await type('systemctl reboot')
      await nspawn.exited
      ;[nspawn, leader] = await start()
    },
    async stop() {
      nspawn.kill()
      await nspawn.exited
    },
  }
}

export type Machine = Awaited<ReturnType<typeof boot>>
