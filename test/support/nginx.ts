/** nginx in front of a real server, with nothing set that it does not set by itself: it holds answers back until they are whole. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from './caddy.ts'
import { poll } from './poll.ts'
import { temporaryPath } from './support.ts'

export const isMissing = !Bun.which('nginx') && Bun.env.CI !== 'true'

/** Serves `upstream`, which answers already. */
export async function startNginx(upstream: string) {
  const home = temporaryPath('nginx')
  mkdirSync(home)
  const [port] = await freePorts()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${home}/${name};`,
  )
  await Bun.write(
    join(home, 'nginx.conf'),
    `daemon off; pid ${home}/pid; events {}
    http { access_log off; ${temporary.join(' ')}
      server { listen 127.0.0.1:${port}; location / { proxy_pass ${new URL(upstream).origin}; proxy_set_header Host $http_host; } } }`,
  )
  const nginx = Bun.spawn(['nginx', '-p', home, '-e', join(home, 'error.log'), '-c', join(home, 'nginx.conf')], {
    stdout: 'ignore',
    stderr: 'ignore',
  })
  const url = `http://127.0.0.1:${port}`
  await poll('nginx to answer', async () => (await fetch(`${url}/health`)).ok)
  return {
    url,
    async stop() {
      nginx.kill()
      await nginx.exited
    },
  }
}
