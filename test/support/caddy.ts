/** The Caddyfile, in front of a real server: real Caddy, with certificates of its own making. */
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { poll } from './poll.ts'
import { temporaryPath } from './support.ts'

export const isMissing = !Bun.which('caddy') && Bun.env.CI !== 'true'

/**
 * Serves `https://www.DOMAIN:PORT` from `upstream`, which answers already.
 * @param more further sites, as a Caddyfile writes them
 */
export async function startCaddy(domain: string, upstream: string, more = '') {
  const home = temporaryPath('caddy')
  mkdirSync(home)
  const log = join(home, 'access.log')
  const [http, https] = await freePorts()
  // The same file, but for ports that need no root, certificates that need no DNS, and less patience.
  const forTests = `http_port ${http}\nhttps_port ${https}\nlocal_certs\nskip_install_trust\nadmin off\n`
  const caddyfile = join(home, 'Caddyfile')
  const sites = (await Bun.file('Caddyfile').text())
    .replace('lb_try_duration 10s', 'lb_try_duration 3s')
    .replace('health_interval 5s', 'health_interval 500ms')
  await Bun.write(caddyfile, sites.replace('{\n', `{\n${forTests}`) + more)
  const caddy = Bun.spawn(['caddy', 'run', '--adapter', 'caddyfile', '--config', caddyfile], {
    env: { HOME: home, XDG_DATA_HOME: home, DOMAIN: domain, UPSTREAM: new URL(upstream).host, ACCESS_LOG: log },
    stdout: 'ignore',
    stderr: Bun.file(join(home, 'journal.log')),
  })
  return whenServing({ domain, http, https, log, process: caddy })
}

interface Started {
  domain: string
  http: number
  https: number
  /** The file that it logs requests to; beside it are what other logs it has, each ending in `.log`. */
  log: string
  process: Bun.Subprocess
}

/** A proxy that serves `https://www.DOMAIN:PORT`, once it does. */
export async function whenServing({ domain, http, https, log, process }: Started) {
  /** What makes curl take the proxy for `host`, as if it were in the DNS. */
  const resolve = (host: string) => [http, https].flatMap((port) => ['--resolve', `${host}:${port}:127.0.0.1`])
  const www = `www.${domain}`
  await poll(`${process.pid} to serve ${domain}`, async () => {
    const ask = Bun.spawn(['curl', '-fsk', '-o', '/dev/null', ...resolve(www), `https://${www}:${https}/health`])
    return (await ask.exited) === 0
  })
  return {
    http,
    https,
    url: `https://${www}:${https}`,
    log,
    resolve,
    async stop() {
      process.kill()
      await process.exited
    },
  }
}

export type ReverseProxy = Awaited<ReturnType<typeof whenServing>>

/** Two ports that nobody listens on. */
export async function freePorts(): Promise<[number, number]> {
  const servers = Array.from({ length: 2 }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports as [number, number]
}
